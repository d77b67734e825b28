// Starts emulate's GitHub with the seed that comes as one line on standard input, and prints one line of JSON when it listens.
// It ends when standard input closes, so that it cannot outlive the test that started it.
//
//     node launch.mjs FOLDER_OF_THE_PACKAGE
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const dist = join(process.argv[2], 'dist')
const load = (file) => import(pathToFileURL(join(dist, file)))

// The module with the GitHub service carries a hash in its name.
const file = readdirSync(dist).find(
  (name) => /^dist-.*\.js$/.test(name) && readFileSync(join(dist, name), 'utf8').includes('\n  githubPlugin,'),
)
const { githubPlugin, getGitHubStore } = await load(file)

// The one gap that no request can fill: emulate leaves an open pull request's head where it was when its branch moves.
const register = githubPlugin.register
githubPlugin.register = (app, store, ...rest) => {
  register(app, store, ...rest)
  app.post('/_test/pulls/:number/head', async (c) => {
    const pulls = getGitHubStore(store).pullRequests
    const pull = pulls.all().find((p) => p.number === Number(c.req.param('number')))
    pulls.update(pull.id, { head_sha: (await c.req.json()).sha })
    return c.json({})
  })
}

const { createEmulator } = await load('api.js')
const lines = createInterface({ input: process.stdin })
lines.once('line', async (line) => {
  const { baseUrl, seed } = JSON.parse(line)
  const probe = await freePort()
  const emulator = await createEmulator({ service: 'github', port: probe, hostname: '127.0.0.1', baseUrl, seed })
  // The App's RSA key is made by emulate, because the seed leaves it out.
  const key = emulator.generatedSecrets.find((secret) => secret.kind === 'github.app_private_key')
  console.log(JSON.stringify({ url: `http://127.0.0.1:${probe}`, privateKey: key.value }))
})
lines.once('close', () => process.exit(0))

async function freePort() {
  const { createServer } = await import('node:net')
  return new Promise((resolve) => {
    const server = createServer()
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}
