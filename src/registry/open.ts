import type { RegistryClient } from './client.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A client with the logins, proxies and registries.conf of an environment; `insecure` registries are asked with TLS that is not verified, then without TLS. */
export async function openRegistries(environment: Environment, insecure: readonly string[] = []): Promise<RegistryClient> {
  const { RegistryClient: Client } = await import('./client.ts')
  if (insecure.length === 0) return new Client({ environment })
  const { loadRegistriesConf } = await import('./registries-conf.ts')
  const entries = [...new Set(insecure)].map((domain) => ({ prefix: domain, location: domain, insecure: true, blocked: false }))
  const configured = loadRegistriesConf(environment).map((entry) => ({ ...entry, insecure: true }))
  return new Client({ environment, registries: [...configured, ...entries] })
}
