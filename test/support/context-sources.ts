import type { ContextSources } from '../../src/context/sources.ts'

/** For contexts that are directories: nothing comes from elsewhere. */
export function noSources(): ContextSources {
  const refuse = () => Promise.reject(new Error('the context is a directory'))
  const temporary = () => {
    throw new Error('the context is a directory')
  }
  return { temporary, unpackLimit: 0, signal: new AbortController().signal, checkout: refuse, fetch: refuse, unpack: refuse }
}
