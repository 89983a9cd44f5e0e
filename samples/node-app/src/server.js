import { createServer } from 'node:http'
import { answer } from './answer.js'

const port = Number(process.env.PORT ?? 3000)
createServer((request, response) => {
  const { status, body } = answer(request.url ?? '/')
  response.writeHead(status, { 'content-type': 'text/plain' }).end(body)
}).listen(port, () => console.log(`listening on ${port}`))
