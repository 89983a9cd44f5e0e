import { parseGoBool } from '../../go/bool.ts'
import { unsupported, usage } from '../usage.ts'
import { csvPairsTrimmed } from './csv.ts'

export interface AttestFlags {
  readonly attest?: readonly string[]
  readonly provenance?: string
  readonly sbom?: string
}

/** Attestations that are turned off ask for what is done anyway; any other would be a promise that is not kept, and is refused by name. */
export function refuseAttestations({ attest = [], provenance = '', sbom = '' }: AttestFlags): void {
  for (const text of attest) check(text, `--attest ${text}`)
  if (provenance !== '') check(long('provenance', provenance), `--provenance=${provenance}`)
  if (sbom !== '') check(long('sbom', sbom), `--sbom=${sbom}`)
}

/** `--sbom=false` in the words of `--attest`. */
function long(type: string, value: string): string {
  const wanted = parseGoBool(value)
  if (wanted === undefined) return `type=${type},${value}`
  return wanted ? `type=${type}` : `type=${type},disabled=true`
}

function check(text: string, written: string): void {
  const pairs = csvPairsTrimmed(text, '--attest')
  const type = pairs.get('type')
  if (!type) throw usage(`invalid ${written}: attestation type not specified`, 'write type=provenance or type=sbom')
  const disabled = parseGoBool(pairs.get('disabled') ?? 'false')
  if (disabled === undefined) throw usage(`invalid ${written}: disabled must be true or false`)
  if (!disabled) throw unsupported(written, `tbuild makes no attestations: use --${type}=false`)
}
