/** What Go's strconv.ParseBool makes of a text; undefined for what it refuses. */
export function parseGoBool(text: string): boolean | undefined {
  if (/^(?:1|t|T|true|True|TRUE)$/.test(text)) return true
  return /^(?:0|f|F|false|False|FALSE)$/.test(text) ? false : undefined
}
