import { MAGIC, RECORDS, type RecordName } from '../../src/sandbox/wire.ts'

export interface ReadRecord {
  readonly name: RecordName
  readonly values: Readonly<Record<string, string | readonly string[]>>
}

/** The bytes of a plan by the table from which it is written: a reader of its own. Throws where they are not whole. */
export function readRecords(bytes: Buffer): ReadRecord[] {
  const size = bytes.readUInt32LE(MAGIC.length)
  const body = bytes.subarray(MAGIC.length + 4)
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC || body.length !== size) throw new Error('not a plan')
  const records: ReadRecord[] = []
  let at = 0
  const field = () => {
    const length = body.readUInt32LE(at)
    const text = body.toString('latin1', at + 4, at + 4 + length)
    if (body[at + 4 + length] !== 0) throw new Error(`a field ends without NUL at ${at}`)
    at += length + 5
    return text
  }
  for (;;) {
    const [kind, count] = [body.readUInt16LE(at), body.readUInt16LE(at + 2)]
    at += 4
    const fields = Array.from({ length: count }, field)
    if (kind !== 0) records.push(named(kind, fields))
    else if (at === size && count === 0) return records
    else throw new Error(`the list ends at ${at} of ${size}`)
  }
}

function named(kind: number, fields: string[]): ReadRecord {
  const [name] = (Object.keys(RECORDS) as RecordName[]).filter((key) => RECORDS[key].kind === kind)
  if (name === undefined) throw new Error(`record ${kind}`)
  const values = Object.entries(RECORDS[name].fields).map(([key, type]) => [
    key,
    type === 'texts' || type === 'numbers' ? fields.splice(0) : fields.shift(),
  ])
  if (fields.length > 0) throw new Error(`${name}: ${fields.length} more fields`)
  return { name, values: Object.fromEntries(values) }
}
