const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/i

/** Whether a variable's name says that its value is a secret: the words of BuildKit's rule SecretsUsedInArgOrEnv. */
export function looksSecret(name: string): boolean {
  return SECRET.test(name) && !NO_SECRET.test(name)
}
