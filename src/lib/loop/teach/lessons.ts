import { stat } from 'node:fs/promises';
import { hasCode, type Project } from '../../core/index.js';
import { openDataset, type Recording } from '../../data/index.js';
import { type BundleInfo, type LabelledWindow, type Lesson, labelledWindows } from '../../model/index.js';

/** What recordings that were marked on the spot are called. */
export const taughtPrefix = 'taught-';

/** Of what was marked with one label, every third recording is held out, the second first: one alone is learned from. */
const isHeldOut = (index: number) => index % 3 === 1;

/** Windows of a project's recordings, each computed once for as long as the model's signal part stays what it is. */
export class Lessons {
  private readonly windows = new Map<string, LabelledWindow[]>();
  private signal = '';
  private recordings: Map<string, Recording> | null = null;

  constructor(
    private readonly project: Project,
    private readonly folder: string,
  ) {}

  /** Recordings that were marked just now and are on disk. */
  async add(recording: Recording): Promise<void> {
    (await this.open()).set(recording.id, recording);
  }

  /**
   * What the model learned before, by the parts of its own training, and what was marked since.
   * @param breathe called between recordings: samples may be waiting
   * @throws AIOT_DATA_CHANGED and what reading recordings throws, AIOT_TRAINING_DATA_UNFIT
   */
  async of(info: BundleInfo, breathe: () => Promise<void>): Promise<Lesson> {
    const signal = JSON.stringify([info.signal, info.labels, info.classes]);
    if (signal !== this.signal) this.windows.clear();
    this.signal = signal;
    const recordings = await this.open();
    const windowsOf = async (ids: Iterable<string>) => {
      const all: LabelledWindow[] = [];
      for (const id of ids) {
        const recording = recordings.get(id);
        if (!recording) continue;
        const known = this.windows.get(id) ?? labelledWindows(info, recording);
        if (!this.windows.has(id)) await breathe();
        this.windows.set(id, known);
        all.push(...known);
      }
      return all;
    };
    const { train, test } = info.lineage.split;
    const marked = markedOf(recordings.values());
    const isMarked = (id: string) => id.startsWith(taughtPrefix);
    const old = (ids: string[]) => windowsOf(ids.filter((id) => !isMarked(id)));
    return {
      old: await old(train),
      taught: await windowsOf(marked.train),
      heldOut: [...(await old(test)), ...(await windowsOf(marked.heldOut))],
    };
  }

  /** None where the folder is not there yet. */
  private async open(): Promise<Map<string, Recording>> {
    if (this.recordings) return this.recordings;
    const there = (await stat(this.folder).catch(() => null))?.isDirectory() ?? false;
    const dataset = there
      ? await openDataset(this.project, this.folder).catch((error: unknown) => {
          if (hasCode(error, 'AIOT_DATA_EMPTY')) return null;
          throw error;
        })
      : null;
    this.recordings = new Map((dataset?.recordings ?? []).map((recording) => [recording.id, recording]));
    return this.recordings;
  }
}

function markedOf(recordings: Iterable<Recording>): { train: string[]; heldOut: string[] } {
  const byLabel = new Map<string, Recording[]>();
  for (const recording of recordings) {
    if (!recording.id.startsWith(taughtPrefix) || recording.label === null) continue;
    byLabel.set(recording.label, [...(byLabel.get(recording.label) ?? []), recording]);
  }
  const parts = { train: [] as string[], heldOut: [] as string[] };
  for (const own of byLabel.values()) {
    own.sort((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0) || (a.id < b.id ? -1 : 1));
    own.forEach(({ id }, i) => {
      (isHeldOut(i) ? parts.heldOut : parts.train).push(id);
    });
  }
  return parts;
}
