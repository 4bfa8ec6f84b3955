// An IPFS node (js-ipfs) for tests, with the RPC API of Kubo: node daemon.mjs REPO API_PORT SWARM_PORT
// It speaks to nobody but over the two ports given, of the loopback interface unless IPFS_HOST is set, and prints "ready PEER_ID" when it listens.
import { create } from 'ipfs-core'
import { HttpApi } from 'ipfs-http-server'

const [repo, api, swarm] = process.argv.slice(2)
const host = process.env.IPFS_HOST ?? '127.0.0.1'
const ipfs = await create({
  repo,
  silent: true,
  init: { emptyRepo: true, algorithm: 'Ed25519' },
  config: {
    Addresses: {
      Swarm: [`/ip4/${host}/tcp/${swarm}`],
      API: `/ip4/${host}/tcp/${api}`,
      Announce: [],
      NoAnnounce: [],
      Gateway: [],
      RPC: '',
      Delegates: []
    },
    Bootstrap: [],
    Discovery: { MDNS: { Enabled: false }, webRTCStar: { Enabled: false } },
    Pubsub: { Enabled: false },
    Swarm: { DisableNatPortMap: true },
    Routing: { Type: 'none' }
  }
})
const http = new HttpApi(ipfs)
await http.start()
console.log('ready', (await ipfs.id()).id.toString())

const stop = async () => {
  await http.stop()
  await ipfs.stop()
  process.exit(0)
}
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
