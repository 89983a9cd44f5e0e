/** What oxc-parser gives (ESTree with TypeScript's nodes), as far as a guard looks into it. */
export interface SyntaxNode {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

export interface PlacedNode {
  readonly node: SyntaxNode
  /** Undefined for the root. */
  readonly parent: SyntaxNode | undefined
}

/** All nodes of a tree, a parent before its children. */
export function* nodesOf(tree: object): Generator<PlacedNode, void, undefined> {
  const open: { readonly value: object; readonly parent: SyntaxNode | undefined }[] = [{ value: tree, parent: undefined }]
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    const { value, parent } = at
    const node = isNode(value) ? value : undefined
    if (node !== undefined) yield { node, parent }
    for (const child of Object.values(value))
      if (typeof child === 'object' && child !== null) open.push({ value: child, parent: node ?? parent })
  }
}

function isNode(value: object): value is SyntaxNode {
  return typeof (value as { type?: unknown }).type === 'string'
}

/** The name of a key or an identifier: `a`, `'a'`; undefined for a computed one. */
export function nameOf(key: unknown): string | undefined {
  if (typeof key !== 'object' || key === null || !isNode(key)) return undefined
  if (key.type === 'Identifier') return key.name as string
  return key.type === 'Literal' && typeof key.value === 'string' ? key.value : undefined
}
