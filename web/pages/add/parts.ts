import type { FirmwareVersion } from '../../../src/lib/api/index.js';
import { type ChipName, espChips } from '../../../src/lib/formats/esp-image/chips.js';
import { ApiError, at, get, send } from '../../app/api.js';
import { BoardFault } from '../../board/faults.js';
import { type FoundChip, type Part, type ReadFlash, requireRoom } from '../../board/flash.js';
import { identityParts, requestCertificate } from '../../board/identity.js';

/** The firmware and the identity of a new board. */
export interface NewBoard {
  card: FirmwareVersion;
  name: string;
  type: string;
  /** Absent = the board keeps its own. */
  bootloader: File | null;
  /** Whether an identity on the board may be overwritten. */
  replaces: boolean;
}

/**
 * Places in the table that `aiot device provision` writes (src/lib/provision/device-image.ts): the record of the active app, the first app
 * and NVS. Earlier tables had NVS at the last place.
 */
const otadata = { offset: 0xe000, bytes: 0x2000 };
const appOffset = 0x10000;
const nvsPlaces = [
  { offset: 0x3dc000, bytes: 0xc000 },
  { offset: 0x9000, bytes: 0x5000 },
];

/**
 * The parts for a new board: bootloader, table, firmware and identity. Registers the device once everything else is known to fit.
 * @param registered called with the name of the device @throws BoardFault
 */
export async function partsFor(
  { card, name, type, bootloader, replaces }: NewBoard,
  found: FoundChip,
  read: ReadFlash,
  registered: (name: string) => void,
): Promise<Part[]> {
  const chip = card.chip as ChipName;
  const { mac } = found;
  requireRoom(
    found,
    nvsPlaces.map(({ offset, bytes }) => offset + bytes),
  );
  const first = await bootloaderFor(chip, bootloader, read);
  if (!replaces) await refuseIdentity(read);
  const app = await fetchFirmware(card);
  const { key, csr } = await requestCertificate(name);
  const reply = await send(at('POST /devices', {}), {
    name,
    type,
    csr,
    ...(mac === '' ? {} : { mac }),
  }).catch(async (error: unknown) => {
    throw await refused(error, name);
  });
  registered(name);
  return [
    ...first,
    { offset: otadata.offset, data: new Uint8Array(otadata.bytes).fill(0xff) },
    { offset: appOffset, data: app },
    ...identityParts(reply, key, chip),
  ].sort((a, b) => a.offset - b.offset);
}

async function bootloaderFor(chip: ChipName, file: File | null, read: ReadFlash): Promise<Part[]> {
  const { bootloaderOffset: offset, id, title } = espChips[chip];
  const data = file ? new Uint8Array(await file.arrayBuffer()) : await read(offset, 16);
  const isImage = data[0] === imageMagic && data.length >= 16;
  const isForChip = isImage && (data[12] ?? 0) + 256 * (data[13] ?? 0) === id;
  if (isForChip) return file ? [{ offset, data }] : [];
  if (!file)
    throw new BoardFault(
      'no-bootloader',
      `The board has no bootloader for the ${title}. Nothing was written.`,
      'Choose bootloader.bin of the firmware’s build, and install again.',
    );
  throw new BoardFault(
    'wrong-bootloader',
    `${file.name} is not a bootloader for the ${title}. Nothing was written.`,
    'Choose bootloader.bin of the firmware’s build for this chip.',
  );
}

/** First byte of an image (ESP-IDF, esp_app_format.h). */
const imageMagic = 0xe9;

/** A board may have the only copy of its key. */
async function refuseIdentity(read: ReadFlash): Promise<void> {
  for (const { offset, bytes } of nvsPlaces) {
    const text = new TextDecoder('latin1').decode(await read(offset, bytes));
    if (!text.includes('PRIVATE KEY-----')) continue;
    throw new BoardFault(
      'identity-exists',
      'The board already has the identity of a device. Nothing was written.',
      'Connect another board, or choose to replace the identity. The previous device can then no longer connect.',
    );
  }
}

async function fetchFirmware({ name, version, digest, bytes }: FirmwareVersion): Promise<Uint8Array> {
  const response = await fetch(`/api/v1/blobs/${encodeURIComponent(digest)}`, {
    credentials: 'same-origin',
  }).catch(() => null);
  const data = response?.ok ? new Uint8Array(await response.arrayBuffer()) : null;
  if (!data)
    throw new BoardFault(
      'download-failed',
      `The platform did not deliver ${name}@${version}.`,
      'Check that the platform is running, and install again.',
    );
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', data));
  const found = [...hash].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  if (data.length === bytes && digest.endsWith(found)) return data;
  throw new BoardFault(
    'firmware-damaged',
    `${name}@${version} does not match its digest.`,
    'Push the firmware again.',
  );
}

/** Explains why the platform did not register the device: the name or the board may belong to another one. */
async function refused(error: unknown, name: string): Promise<BoardFault> {
  if (!(error instanceof ApiError)) throw error;
  const message = `${error.message.slice(0, 1).toUpperCase()}${error.message.slice(1)}. Nothing was written.`;
  if (error.code !== 'AIOT_ALREADY_EXISTS') return new BoardFault(error.code, message, error.next ?? '');
  const isName = await get(at('GET /devices/:name', { name })).then(
    ({ state }) => state !== 'revoked',
    () => false,
  );
  if (isName) return new BoardFault('name-taken', message, 'Choose another name.');
  return new BoardFault(
    'board-taken',
    message,
    'Revoke that device on its page first, or connect another board.',
  );
}
