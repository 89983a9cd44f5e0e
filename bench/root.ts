import { join } from 'node:path'

/** The checkout that is measured. Holds for the sources in bench/ and for their bundle in build/. */
export const root = join(import.meta.dirname, '..')
