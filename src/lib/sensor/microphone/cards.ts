import { constants } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AiotError } from '../../core/index.js';

/** Where the kernel shows sound cards; other folders in tests. */
export interface SoundRoots {
  /** Default /proc. */
  proc?: string;
  /** Default /dev. */
  dev?: string;
}

/** A device that records. */
export interface Microphone {
  card: number;
  device: number;
  /** The card's short name, as in `alsa://NAME`. */
  id: string;
  title: string;
}

/** Devices of ALSA that record; none where there is no sound. */
export async function listMicrophones({ proc = '/proc' }: SoundRoots = {}): Promise<Microphone[]> {
  const lines = (await readText(join(proc, 'asound', 'pcm'))).split('\n');
  const found: Microphone[] = [];
  for (const line of lines) {
    // Such as "01-00: HiFi voicehat-hifi-0 : snd voicehat : capture 1".
    const [, card, device, rest = ''] = /^(\d+)-(\d+): (.*)$/.exec(line) ?? [];
    const parts = rest.split(':').map((part) => part.trim());
    if (card === undefined || !parts.some((part) => part.startsWith('capture '))) continue;
    const id = (await readText(join(proc, 'asound', `card${Number(card)}`, 'id'))).trim();
    found.push({
      card: Number(card),
      device: Number(device),
      id: id || `${Number(card)}`,
      title: parts[1] || parts[0] || '',
    });
  }
  return found;
}

/**
 * ALSA's name of what a URL calls `CARD` or `CARD,DEVICE`; `default` and names with a colon are ALSA's own.
 * @throws AIOT_SENSOR_NOT_FOUND with those that there are, AIOT_SENSOR_DENIED
 */
export async function pcmOf(place: string, roots: SoundRoots = {}): Promise<string> {
  if (place === '' || place === 'default' || place.includes(':')) return place || 'default';
  const [card = '', device = '0'] = place.split(',');
  const all = await listMicrophones(roots);
  const found = all.find(
    (each) => (each.id === card || `${each.card}` === card) && `${each.device}` === device,
  );
  if (!found) {
    const there = all.map(({ id, device }) => (device === 0 ? `alsa://${id}` : `alsa://${id},${device}`));
    throw new AiotError('AIOT_SENSOR_NOT_FOUND', `no sound card ${place} records on this machine`, {
      next: there.length > 0 ? `There is ${there.join(', ')}.` : 'arecord -l lists those that there are.',
    });
  }
  const node = join(roots.dev ?? '/dev', 'snd', `pcmC${found.card}D${found.device}c`);
  await access(node, constants.R_OK).catch((cause: unknown) => {
    throw new AiotError('AIOT_SENSOR_DENIED', `you may not record from ${place}: ${node}`, {
      endpoint: node,
      cause,
      next: 'sudo usermod -aG audio $USER, then log in again',
    });
  });
  return `plughw:CARD=${found.id},DEV=${found.device}`;
}

function readText(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '');
}
