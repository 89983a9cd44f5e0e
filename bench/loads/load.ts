import type { Size } from '../options.ts'
import type { Site } from '../site.ts'

/** Work that builders are compared at. */
export interface Load {
  readonly name: string
  /** What it builds, in a line. */
  readonly about: string
  readonly unit: string
  readonly amounts: Readonly<Record<Size, number>>
  measure(site: Site): Promise<void>
}
