// Lists instances, creates one and deletes it. Needs `axios`.
//
//   CNX_API_KEY=cnx_prod_… API_URL=https://api.example.com node node.mjs
import axios from 'axios'
import { setTimeout as sleep } from 'node:timers/promises'

const api = axios.create({
  baseURL: process.env.API_URL ?? 'http://localhost:8081',
  headers: { Authorization: `Bearer ${process.env.CNX_API_KEY}`, 'X-API-Version': '2024-10' },
  timeout: 30_000,
  validateStatus: () => true,
})

async function call(method, url, data) {
  let answer
  for (let attempt = 0; attempt < 3; attempt++) {
    answer = await api.request({ method, url, data })
    if (answer.status !== 429) break
    const wait = Number(answer.headers['retry-after'] ?? 1)
    console.error(`too many requests; waiting ${wait} s`)
    await sleep(wait * 1000)
  }
  if (answer.status === 401) throw new Error('401: the key is not valid; was it revoked, or has it expired?')
  if (answer.status === 403) {
    throw new Error(`403: the key may not do this, or not from here ${answer.headers['www-authenticate'] ?? ''}`)
  }
  if (answer.status >= 300) throw new Error(`${answer.status}: ${JSON.stringify(answer.data)}`)
  return answer.data
}

try {
  console.log(await call('GET', '/v1/instances'))
  const created = await call('POST', '/v1/instances', { name: 'web-1' })
  console.log(created)
  await call('DELETE', `/v1/instances/${created.id}`)
  console.log('deleted', created.id)
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
