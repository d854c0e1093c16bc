import { stat } from 'node:fs/promises';
import { AiotError, readBytes } from '../../core/index.js';
import { fetchFirmware, resolveModel, withClient } from '../../registry/index.js';
import { parsePattern } from '../monitor/pattern.js';
import type { FlashBoardOptions } from './flash-board.js';
import { flashModel } from './flash-model.js';
import { flashSlot, type SlotJob } from './flash-slot.js';
import type { FlashRequest } from './request.js';
import type { Flashed } from './result.js';
import { watchBoard } from './watch-board.js';

/** An update over the cable: an app, or a model, into the slot that is not in use. @throws AIOT_USAGE and what fetching throws */
export async function prepareUpdate(
  request: FlashRequest,
): Promise<(how: FlashBoardOptions) => Promise<Flashed>> {
  refuseOthers(request);
  const watchAt = watchOf(request);
  const { firmware, model, slot = 'next', verify, force } = request;
  if (model !== undefined) {
    const image = await modelOf(model, request.context);
    return (how) => flashModel({ image, verify, force }, { ...how, watch: watchAt?.(how.ask) });
  }
  if (firmware === undefined && slot === 'next') {
    throw new AiotError('AIOT_USAGE', 'expected what goes into the slot', {
      next: 'aiot flash --slot next --firmware app.bin, or --firmware NAME@VERSION',
    });
  }
  const image = firmware === undefined ? null : await firmwareOf(firmware, request.context);
  return (how) => flashSlot({ image, slot, verify, force }, { ...how, watch: watchAt?.(how.ask) });
}

/** A file that is there, else a version of the registry. */
async function firmwareOf(text: string, context: string | undefined): Promise<NonNullable<SlotJob['image']>> {
  if (await isFile(text)) return { name: text, data: await readBytes(text) };
  return await withClient(context, async (client) => {
    const { card, bytes, envelope } = await fetchFirmware(client, text);
    return { name: `${card.name}@${card.version}`, data: bytes, envelope };
  });
}

/** The same of a model: the signed bundle, as it is pulled. */
async function modelOf(
  text: string,
  context: string | undefined,
): Promise<{ name: string; data: Uint8Array }> {
  if (await isFile(text)) return { name: text, data: await readBytes(text) };
  const { fetchModel } = await import('../../model/index.js');
  return await withClient(context, async (client) => {
    const version = await resolveModel(client, text);
    const { bytes } = await fetchModel(client, version, null);
    return { name: `${version.name}@${version.version}`, data: bytes };
  });
}

/** What is there is a file, and what is no version can only be one. */
async function isFile(text: string): Promise<boolean> {
  const isVersion = /^[\w.-]+@\w+$/.test(text);
  return !isVersion || (await stat(text).catch(() => null)) !== null;
}

function watchOf({ watch, loader }: FlashRequest) {
  if (!watch) return undefined;
  const { timeoutMs } = watch;
  const pattern = watch.pattern === null ? null : parsePattern(watch.pattern);
  return (ask: FlashBoardOptions['ask']) => (port: string) =>
    watchBoard(port, { timeoutMs, pattern, signal: loader.signal, ask });
}

/** An update touches a slot and what chooses it: nothing else of the flash. */
function refuseOthers({
  images,
  project,
  device,
  erase,
  diffWith,
  header,
  dryRun,
  ...request
}: FlashRequest): void {
  const others: [boolean, string][] = [
    [images.length > 0, 'images'],
    [project !== null, '--project'],
    [device !== undefined, '--device'],
    [erase, '--erase'],
    [diffWith.length > 0, '--diff-with'],
    [
      Object.values(header).some((value) => value !== undefined),
      '--flash-mode, --flash-size and --flash-freq',
    ],
    [dryRun, '--dry-run'],
    [request.model !== undefined && request.firmware !== undefined, '--firmware'],
    [request.model !== undefined && request.slot !== undefined, '--slot'],
  ];
  const what = request.model !== undefined ? '--model' : '--slot';
  const found = others.find(([given]) => given);
  if (found) throw new AiotError('AIOT_USAGE', `${what} does not go with ${found[1]}`);
}
