/** What scripts/build.mjs makes of the .ne files. */
declare module '*/generated/word.js' {
  const rules: import('nearley').CompiledRules
  export default rules
}
declare module '*/generated/dockerfile.js' {
  const rules: import('nearley').CompiledRules
  export default rules
}
