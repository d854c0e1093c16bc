import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { AiotError, dataFolder, readJson, writeJsonAtomic } from '../../core/index.js';
import type { Loader, Region } from '../loader/types.js';

const bytes = z.base64().transform((text): Uint8Array => Buffer.from(text, 'base64'));
const unprovenSchema = z.object({
  slot: z.string(),
  before: z.string(),
  /** What was written into the slot. */
  image: z.object({ offset: z.int(), bytes: z.int(), md5: z.string() }),
  /** The sectors that choose the slot, as they were and as they are since. */
  choice: z.array(z.object({ name: z.string(), offset: z.int(), before: bytes, now: bytes })),
});

/**
 * A choice that is being watched, or was found bad and could not be set back. It is kept on this machine by the board's
 * MAC: otadata alone does not tell a slot that was never seen to work from one that did, and the next update would take
 * the slot that works.
 */
export type Unproven = z.output<typeof unprovenSchema>;
export type UnprovenKind = 'app' | 'model';
type Who = { mac: string; kind: UnprovenKind };

const fileOf = ({ mac, kind }: Who) =>
  join(dataFolder(), 'unproven', `${mac.replaceAll(':', '')}-${kind}.json`);

/** Best effort: a folder that cannot be written must not keep anybody from an update. */
export async function rememberUnproven(who: Who, { choice, ...rest }: Unproven): Promise<void> {
  const text = (data: Uint8Array) => Buffer.from(data).toString('base64');
  const sectors = choice.map(({ before, now, ...place }) => ({
    ...place,
    before: text(before),
    now: text(now),
  }));
  await writeJsonAtomic(fileOf(who), { ...rest, choice: sectors }).catch(unlessDefect);
}

export async function forgetUnproven(who: Who): Promise<void> {
  await rm(fileOf(who), { force: true }).catch(() => {});
}

/**
 * Sets back what an earlier run left chosen without having seen it work, so that what comes next takes that slot and not
 * the one that works. Nothing is done where the board is no more as that run left it.
 * @returns what was done, for people; null = nothing
 */
export async function settleUnproven(loader: Loader, kind: UnprovenKind): Promise<string | null> {
  const who = { mac: loader.chip.mac, kind };
  const parsed = unprovenSchema.safeParse(await readJson(fileOf(who)).catch(unlessDefect));
  if (!parsed.success) return null;
  const { slot, before, image, choice } = parsed.data;
  const region = (data: 'before' | 'now') =>
    choice.map((sector): Region => ({ name: sector.name, offset: sector.offset, data: sector[data] }));
  let same = (await loader.md5(image.offset, image.bytes)) === image.md5;
  for (const sector of region('now')) same &&= await loader.matches(sector);
  if (same) await loader.write(region('before'), { skipEqual: false });
  await forgetUnproven(who);
  if (!same) return null;
  return `${slot} was chosen by an earlier update and never seen to work: ${before} was set back first`;
}

function unlessDefect(error: unknown): void {
  if (!(error instanceof AiotError)) throw error;
}
