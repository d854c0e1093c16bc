import type { ChipName, Envelope, TrustRoot } from '../../formats/index.js';

/** Who a device on a chip is, with its secrets. PEM texts. */
export interface ImageIdentity {
  name: string;
  /** `dev_…`, as the platform gave it. */
  id: string;
  /** Type that models and firmware are released for. */
  type: string;
  chip: ChipName;
  /** The guide's decimal chip id: the lower three octets of the factory MAC as one number; null = not known yet. */
  chipId: string | null;
  /** PKCS#8, ECDSA P-256: it is in no other file. */
  key: string;
  certificate: string;
}

/** What is put into an image besides the identity. */
export interface ImageOptions {
  /** null = it is set later, on the board. */
  wifi: { ssid: string; password: string } | null;
  /** `https://…` and `mqtts://…` as the device reaches them; PEM of the CA. */
  platform: { http: string; mqtts: string; ca: string };
  trust: TrustRoot | null;
  /** The root that this trust is from, of platforms whose keys are apart. */
  root?: Envelope | null | undefined;
  /** No release below `floor`, and none that is not above `sequence`, is ever taken. */
  release: { sequence: number; floor: number };
  /** Format of the NVS pages. */
  version: 1 | 2;
  /** The partition table as CSV, or as the bytes that a board has; null = the default one (4 MiB, two app slots, two model slots). */
  table: string | Uint8Array | null;
  /** Bytes of the board's flash; a table that goes past it is refused. */
  flashBytes: number;
  /** Encrypts NVS with keys made here. */
  encrypt: boolean;
}

/** One part of an image and its place in flash. */
export interface ImagePart {
  offset: number;
  data: Uint8Array;
}

/** What makes a chip with firmware the device. */
export interface DeviceImage {
  nvs: ImagePart;
  partitions: ImagePart;
  /** The nvs_keys partition, where NVS is encrypted. As secret as the key itself. */
  keys?: ImagePart;
}
