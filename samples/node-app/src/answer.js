import { greet } from 'greeter'

export function answer(url) {
  const { pathname, searchParams } = new URL(url, 'http://localhost')
  if (pathname === '/health') return { status: 200, body: 'ok\n' }
  if (pathname === '/') return { status: 200, body: `${greet(searchParams.get('name') ?? 'world')}\n` }
  return { status: 404, body: 'not found\n' }
}
