/** The same bytes; `tell` hears after each chunk how many there were. */
export async function* counted(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  tell: (total: number) => void,
): AsyncGenerator<Uint8Array> {
  let total = 0
  for await (const chunk of bytes) {
    total += chunk.length
    tell(total)
    yield chunk
  }
}
