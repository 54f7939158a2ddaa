import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type Certificate = { readonly certFile: string; readonly keyFile: string }

/** A certificate authority of its own in a folder. */
export interface Authority {
  readonly caFile: string
  readonly caKeyFile: string
  /** A certificate for a server on the loopback addresses, localhost and the given names and addresses. */
  server(fileName: string, names?: readonly string[]): Promise<Certificate>
  /** A certificate by which Kubernetes knows a user (its common name) and the user's groups (its organizations). */
  client(fileName: string, user: string, groups: readonly string[]): Promise<Certificate>
}

// A configuration of our own: what the machine's openssl.cnf adds would clash. `string_mask` allows UTF-8 names.
const CONFIG = `[req]
distinguished_name = name
prompt = no
string_mask = utf8only
[name]
`
const CA = 'basicConstraints=critical,CA:TRUE'
const NOT_CA = 'basicConstraints=critical,CA:FALSE'
const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30']

type Wanted = { readonly name: string; readonly subject: string; readonly extensions: readonly string[] }

/**
 * Makes a new authority by the openssl command (3.0 or newer). Everything it signs is valid for 30 days.
 * @param folder exists and takes the files
 */
export async function createAuthority(folder: string): Promise<Authority> {
  const config = join(folder, 'openssl.cnf')
  await writeFile(config, CONFIG)
  const issue = async ({ name, subject, extensions }: Wanted, signedBy: readonly string[]): Promise<Certificate> => {
    const files = { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) }
    const added = extensions.flatMap((extension) => ['-addext', extension])
    const output = ['-keyout', files.keyFile, '-out', files.certFile]
    await run('openssl', [
      'req',
      '-x509',
      '-config',
      config,
      ...EC_KEY,
      '-subj',
      subject,
      ...added,
      ...signedBy,
      ...output,
    ])
    return files
  }
  const ca = await issue(
    { name: 'ca', subject: '/CN=harness', extensions: [CA, 'keyUsage=critical,keyCertSign,cRLSign'] },
    [],
  )
  const signer = ['-CA', ca.certFile, '-CAkey', ca.keyFile]
  return {
    caFile: ca.certFile,
    caKeyFile: ca.keyFile,
    server: (name, names = []) => {
      const alternatives = ['127.0.0.1', '::1', 'localhost', ...names].map(
        (one) => `${isIP(one) ? 'IP' : 'DNS'}:${one}`,
      )
      const extensions = [NOT_CA, 'extendedKeyUsage=serverAuth', `subjectAltName=${alternatives.join(',')}`]
      return issue({ name, subject: `/CN=${name}`, extensions }, signer)
    },
    client: (name, user, groups) => {
      const subject = [...groups.map((group) => `/O=${escaped(group)}`), `/CN=${escaped(user)}`].join('')
      return issue({ name, subject, extensions: [NOT_CA, 'extendedKeyUsage=clientAuth'] }, signer)
    },
  }
}

const escaped = (value: string) => value.replace(/[\\/+=]/g, (character) => `\\${character}`)

/** The key pair that signs ServiceAccount tokens, as the API server reads it. */
export async function createTokenKeys(folder: string): Promise<{ publicFile: string; privateFile: string }> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'sec1', format: 'pem' },
  })
  const files = { publicFile: join(folder, 'tokens.pub'), privateFile: join(folder, 'tokens.key') }
  await writeFile(files.publicFile, publicKey)
  await writeFile(files.privateFile, privateKey, { mode: 0o600 })
  return files
}
