import { execFile, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Signs images. Debian's build of SWUpdate accepts only detached CMS signatures. */
export interface Signer {
  key: string;
  certificate: string;
}

/** Creates a signer with openssl in this folder. */
export function makeSigner(folder: string, name: string): Signer {
  const signer = { key: join(folder, `${name}.key`), certificate: join(folder, `${name}.crt`) };
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${name}`],
      ...['-keyout', signer.key, '-out', signer.certificate],
      ...['-addext', 'keyUsage=digitalSignature', '-addext', 'extendedKeyUsage=emailProtection'],
    ],
    { stdio: 'ignore' },
  );
  return signer;
}

export interface ImageOptions {
  folder: string;
  /** The installed image, and its target. */
  payload: Buffer;
  target: string;
  /** Signer of the image; null = unsigned. */
  signer: Signer | null;
  hardware?: string;
  /** Digest in the description, if different from the payload's. */
  sha256?: string;
}

/** Creates a .swu file: a cpio archive of its description, the description's signature, and the payload. */
export async function makeImage({ folder, payload, target, signer, hardware = '1.0', sha256 }: ImageOptions) {
  const digest = sha256 ?? createHash('sha256').update(payload).digest('hex');
  const description = `software = { version = "1.0.0"; hardware-compatibility: [ "${hardware}" ];
  files: ( { filename = "app.bin"; path = "${target}"; sha256 = "${digest}"; } ); }\n`;
  const files: [string, Buffer][] = [['sw-description', Buffer.from(description)]];
  if (signer) {
    const [plain, signed] = [join(folder, 'sw-description'), join(folder, 'sw-description.sig')];
    await writeFile(plain, description);
    const how = ['-outform', 'DER', '-nosmimecap', '-binary'];
    const who = ['-signer', signer.certificate, '-inkey', signer.key];
    execFileSync('openssl', ['cms', '-sign', '-in', plain, '-out', signed, ...who, ...how], {
      stdio: 'ignore',
    });
    files.push(['sw-description.sig', await readFile(signed)]);
  }
  return cpio([...files, ['app.bin', payload]]);
}

/** A cpio archive in newc format with checksums. */
function cpio(files: [string, Buffer][]): Buffer {
  const hex = (value: number) => (value >>> 0).toString(16).toUpperCase().padStart(8, '0');
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const entry = (name: string, data: Buffer, ino: number) => {
    const check = data.reduce((sum, byte) => (sum + byte) >>> 0, 0);
    const fields = [ino, 0o100644, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, check];
    return Buffer.concat([padded(Buffer.from(`070702${fields.map(hex).join('')}${name}\0`)), padded(data)]);
  };
  const all = files.map(([name, data], i) => entry(name, data, i + 1));
  const archive = Buffer.concat([...all, entry('TRAILER!!!', Buffer.alloc(0), 0)]);
  return Buffer.concat([archive, Buffer.alloc((512 - (archive.length % 512)) % 512)]);
}

export interface SwupdateOptions {
  folder: string;
  /** URL of the platform, and its CA if it uses TLS. */
  url: string;
  ca?: string;
  id: string;
  token: string;
  /** Certificate of the signer whose images the client accepts. */
  certificate: string;
}

export interface Swupdate {
  /** All output so far. */
  log(): string;
  /** Resolves when the output contains the text. */
  printed(text: string): Promise<void>;
  /** Acts like the device's boot logic once its new system is running. */
  confirm(action: number): Promise<unknown>;
  stop(): Promise<void>;
}

let instances = 0;

/** Starts Debian's SWUpdate as a polling client. Each client has its sockets in its own folder. */
export async function startSwupdate({
  folder,
  url,
  ca,
  id,
  token,
  certificate,
}: SwupdateOptions): Promise<Swupdate> {
  const own = join(folder, `swupdate-${++instances}`);
  await mkdir(own);
  const config = join(own, 'swupdate.cfg');
  await writeFile(
    config,
    `globals : { verbose = false; loglevel = 5; public-key-file = "${certificate}"; };
suricatta : { tenant = "DEFAULT"; id = "${id}"; url = "${url}"; targettoken = "${token}"; retry = 5; retrywait = "1";
  ${ca ? `cafile = "${ca}";` : ''} };
identify : ( { name = "board"; value = "lab"; }, { name = "hwRevision"; value = "1.0"; } );
`,
  );
  const env = { ...process.env, TMPDIR: own };
  const child = spawn('swupdate', ['-f', config, '-H', 'lab:1.0', '-u', ''], { env });
  let text = '';
  const waiting = new Set<() => void>();
  const take = (chunk: Buffer) => {
    text += chunk.toString('utf8');
    for (const look of waiting) look();
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  return {
    log: () => text,
    printed: (wanted) =>
      new Promise((resolve) => {
        const look = () => {
          if (!text.includes(wanted)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    confirm: (action) => {
      const words = ['sendtohawkbit', String(action), '2', 'success', 'closed', 'Runs the new system.'];
      // This is asynchronous because the platform that it waits for is in this process.
      return promisify(execFile)('swupdate-ipc', words, { env, timeout: 20_000 });
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}
