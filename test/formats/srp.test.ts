import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  protocommGroup,
  SrpClient,
  type SrpGroup,
  SrpServer,
  sameProof,
  srpVerifier,
} from '../../src/lib/formats/srp.js';

const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex.replace(/\s/g, ''), 'hex'));

// RFC 5054, appendix A (the 1024-bit group) and appendix B (test vectors).
const group: SrpGroup = {
  prime: BigInt(
    '0xeeaf0ab9adb38dd69c33f80afa8fc5e86072618775ff3c0b9ea2314c9c256576d674df7496ea81d3383b4813d692c6e0e0d5d8e250b98be48e495c1d6089dad15dc7d7b46154d6b6ce8ef4ad69b15d4982559b297bcf1885c529f566660e57ec68edbc3c05726cc02fd4cbf4976eaa9afd5138fe8376435b9fc61d2fc0eb06e3',
  ),
  generator: 2n,
  bytes: 128,
  hash: 'sha1',
};
const salt = bytesOf('BEB25379 D1A8581E B5A72767 3A2441EE');
const vector = {
  clientSecret: '60975527 035CF2AD 1989806F 0407210B C81EDC04 E2762A56 AFD529DD DA2D4393',
  serverSecret: 'E487CB59 D31AC550 471E81F0 0F6928E0 1DDA08E9 74A004F4 9E61F5D1 05284D20',
  verifier: `7E273DE8 696FFC4F 4E337D05 B4B375BE B0DDE156 9E8FA00A 9886D812 9BADA1F1 822223CA 1A605B53 0E379BA4
    729FDC59 F105B478 7E5186F5 C671085A 1447B52A 48CF1970 B4FB6F84 00BBF4CE BFBB1681 52E08AB5 EA53D15C 1AFF87B2
    B9DA6E04 E058AD51 CC72BFC9 033B564E 26480D78 E955A5E2 9E7AB245 DB2BE315 E2099AFB`,
  client: `61D5E490 F6F1B795 47B0704C 436F523D D0E560F0 C64115BB 72557EC4 4352E890 3211C046 92272D8B 2D1A5358
    A2CF1B6E 0BFCF99F 921530EC 8E393561 79EAE45E 42BA92AE ACED8251 71E1E8B9 AF6D9C03 E1327F44 BE087EF0 6530E69F
    66615261 EEF54073 CA11CF58 58F0EDFD FE15EFEA B349EF5D 76988A36 72FAC47B 0769447B`,
  server: `BD0C6151 2C692C0C B6D041FA 01BB152D 4916A1E7 7AF46AE1 05393011 BAF38964 DC46A067 0DD125B9 5A981652
    236F99D9 B681CBF8 7837EC99 6C6DA044 53728610 D0C6DDB5 8B318885 D7D82C7F 8DEB75CE 7BD4FBAA 37089E6F 9C6059F3
    88838E7A 00030B33 1EB76840 910440B1 B27AAEAE EB4012B7 D7665238 A8E3FB00 4B117B58`,
  secret: `B0DC82BA BCF30674 AE450C02 87745E79 90A3381F 63B387AA F271A10D 233861E3 59B48220 F7C4693C 9AE12B0A
    6F67809F 0876E2D0 13800D6C 41BB59B6 D5979B5C 00A172B4 A2A5903A 0BDCAF8A 709585EB 2AFAFA8F 3499B200 210DCC1F
    10EB3394 3CD67FC8 8A2F39A4 BE5BEC4E C0A3212D C346D7E4 74B29EDE 8A469FFE CA686E5A`,
};

describe('SRP6a', () => {
  it('computes the values of RFC 5054, appendix B', () => {
    expect(srpVerifier(group, 'alice', 'password123', salt)).toEqual(bytesOf(vector.verifier));
    const client = new SrpClient(group, 'alice', 'password123', () => bytesOf(vector.clientSecret));
    const server = new SrpServer(group, 'alice', salt, bytesOf(vector.verifier), () =>
      bytesOf(vector.serverSecret),
    );
    expect(client.publicKey).toEqual(bytesOf(vector.client));
    expect(server.publicKey).toEqual(bytesOf(vector.server));
    const key = new Uint8Array(createHash('sha1').update(bytesOf(vector.secret)).digest());
    expect(client.session(salt, server.publicKey)?.key).toEqual(key);
    expect(server.session(client.publicKey)?.key).toEqual(key);
  });

  const login = (password: string) => {
    const verifier = srpVerifier(protocommGroup, 'me', 'right', salt);
    const client = new SrpClient(protocommGroup, 'me', password, (count) => randomBytes(count));
    const server = new SrpServer(protocommGroup, 'me', salt, verifier, (count) => randomBytes(count));
    return [client.session(salt, server.publicKey)!, server.session(client.publicKey)!] as const;
  };

  it('agrees on a key and on proofs only with the right password', () => {
    const [client, server] = login('right');
    expect(client).toEqual(server);
    const [wrong, expected] = login('wrong');
    expect(sameProof(wrong.clientProof, expected.clientProof)).toBe(false);
    expect(sameProof(wrong.serverProof, expected.serverProof)).toBe(false);
    expect(sameProof(wrong.clientProof, wrong.clientProof.slice(1))).toBe(false);
  });

  it('rejects values that would make the key predictable', () => {
    const client = new SrpClient(group, 'alice', 'password123', () => bytesOf(vector.clientSecret));
    const server = new SrpServer(group, 'alice', salt, bytesOf(vector.verifier), () =>
      bytesOf(vector.serverSecret),
    );
    const prime = bytesOf(group.prime.toString(16));
    for (const unsafe of [new Uint8Array(), new Uint8Array(128), prime, new Uint8Array(129).fill(1)]) {
      expect(client.session(salt, unsafe)).toBeNull();
      expect(server.session(unsafe)).toBeNull();
    }
  });
});
