import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { bytes, integer, message, ProtobufFields } from '../../src/lib/formats/protobuf.js';
import { ProtocommCipher } from '../../src/lib/formats/protocomm.js';
import {
  protocommGroup,
  SrpServer,
  type SrpSession,
  sameProof,
  srpVerifier,
} from '../../src/lib/formats/srp.js';

export interface SoftapBoard {
  url: string;
  /** Bodies of all requests, as transmitted. */
  heard: Buffer[];
  /** Settings that the board applied. */
  applied: { ssid: string; password: string }[];
  close(): Promise<void>;
}

interface SoftapOptions {
  user?: string;
  password?: string;
  scheme?: number;
  patch?: number;
  networks?: { ssid: string; dbm: number; secured: boolean; password?: string }[];
  /** A board that does not know the password, and sends a random proof. */
  imitates?: boolean;
  /** After `after` responses, the board closes the connections of the next `requests` requests. */
  lost?: { after: number; requests: number };
  port?: number;
}

/**
 * A board with ESP-IDF's unified provisioning in its own network, security scheme 2. It was also tested with Espressif's own program
 * (tools/esp_prov): `npx tsx test/support/softap-board.ts`.
 */
export async function softapBoard(options: SoftapOptions = {}): Promise<SoftapBoard> {
  const {
    user = 'wifiprov',
    password = 'abcd1234',
    scheme = 2,
    patch = 1,
    networks = [],
    imitates = false,
  } = options;
  // Espressif's client drops leading zeros of the salt.
  const salt = Uint8Array.of(0x80, ...randomBytes(15));
  const verifier = srpVerifier(protocommGroup, user, password, salt);
  const heard: Buffer[] = [];
  const applied: SoftapBoard['applied'] = [];
  let session: SrpSession | null = null;
  let cipher: ProtocommCipher | null = null;
  let settings = { ssid: '', password: '' };
  let polls = 0;

  const login = (body: Uint8Array): Uint8Array | null => {
    const payload = new ProtobufFields(body).message(12);
    const kind = payload.integer(1);
    const reply = (content: Uint8Array) =>
      message(integer(2, 2), bytes(12, message(integer(1, kind + 1), bytes(21 + kind, content))));
    if (kind === 0) {
      const request = payload.message(20);
      let server: SrpServer;
      do
        server = new SrpServer(protocommGroup, request.text(1), salt, verifier, (count) =>
          randomBytes(count),
        );
      while (server.publicKey.length < protocommGroup.bytes);
      session = server.session(request.bytes(2));
      return reply(message(integer(1, 0), bytes(2, server.publicKey), bytes(3, salt)));
    }
    if (session === null) return null;
    if (!imitates && !sameProof(payload.message(22).bytes(1), session.clientProof)) return null;
    const nonce = Uint8Array.of(...randomBytes(8), 0, 0, 0, 1);
    cipher = new ProtocommCipher(session.key, nonce, patch >= 1);
    const proof = imitates ? randomBytes(64) : session.serverProof;
    return reply(message(integer(1, 0), bytes(2, proof), bytes(3, nonce)));
  };

  const wifi = (request: ProtobufFields): Uint8Array => {
    const kind = request.integer(1);
    const reply = (content: Uint8Array) => message(integer(1, kind + 1), bytes(11 + kind, content));
    if (kind === 2) {
      const given = request.message(12);
      settings = { ssid: given.text(1), password: given.text(2) };
      return reply(integer(1, 0));
    }
    if (kind === 4) {
      applied.push(settings);
      polls = 0;
      return reply(integer(1, 0));
    }
    const network = networks.find(({ ssid }) => ssid === settings.ssid);
    if (polls++ === 0) return reply(integer(2, 1));
    if (network === undefined) return reply(message(integer(2, 3), integer(10, 1)));
    if ((network.password ?? '') !== settings.password) return reply(message(integer(2, 3), integer(10, 0)));
    const connected = message(bytes(1, Buffer.from('192.168.1.7')), bytes(3, Buffer.from(settings.ssid)));
    return reply(message(integer(2, 0), bytes(11, connected)));
  };

  const scan = (request: ProtobufFields): Uint8Array => {
    const kind = request.integer(1);
    const reply = (content: Uint8Array) => message(integer(1, kind + 1), bytes(11 + kind, content));
    if (kind === 0) return reply(new Uint8Array());
    if (kind === 2) return reply(message(integer(1, 1), integer(2, networks.length)));
    const asked = request.message(14);
    const page = networks.slice(asked.integer(1), asked.integer(1) + asked.integer(2));
    return reply(
      message(
        ...page.map(({ ssid, dbm, secured }) =>
          bytes(
            1,
            message(
              ...[bytes(1, Buffer.from(ssid)), integer(2, 6), integer(3, dbm)],
              ...[bytes(4, Buffer.alloc(6, 1)), integer(5, secured ? 3 : 0)],
            ),
          ),
        ),
      ),
    );
  };

  const answer = (endpoint: string, body: Buffer): Uint8Array | string | null => {
    if (endpoint === 'proto-ver')
      return JSON.stringify({
        prov: { ver: 'v1.1', sec_ver: scheme, sec_patch_ver: patch, cap: ['wifi_scan'] },
      });
    if (endpoint === 'prov-session') return login(body);
    if (cipher === null || (endpoint !== 'prov-config' && endpoint !== 'prov-scan')) return null;
    const request = new ProtobufFields(cipher.decrypt(body));
    return cipher.encrypt(endpoint === 'prov-config' ? wifi(request) : scan(request));
  };

  const answered = (endpoint: string, body: Buffer) => {
    try {
      return answer(endpoint, body);
    } catch (error) {
      // A message that cannot be decrypted.
      if (error instanceof RangeError) return null;
      throw error;
    }
  };

  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    heard.push(body);
    const behind = heard.length - (options.lost?.after ?? Number.POSITIVE_INFINITY);
    if (behind > 0 && behind <= (options.lost?.requests ?? 0)) return void request.socket.destroy();
    const reply = answered((request.url ?? '').slice(1), body);
    response.setHeader('set-cookie', 'session=7');
    response.statusCode = reply === null ? 500 : 200;
    response.end(reply ?? '');
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const address = server.address();
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    ...{ heard, applied },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
