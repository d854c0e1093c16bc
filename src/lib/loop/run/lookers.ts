import { join } from 'node:path';
import { type Project, requireWritable } from '../../core/index.js';
import { deliveriesOf, openSource } from '../../stream/index.js';
import type { Teacher } from '../teach/index.js';
import type { LoopTap } from './engine.js';
import type { Opened } from './open.js';
import type { LoopOptions } from './options.js';
import { createRecorder, type Recorder } from './recorder.js';

/** Those that look on while a loop runs. */
export interface Lookers {
  taps: readonly LoopTap[];
  teacher: Teacher | null;
  recorder: Recorder | null;
  /** What they were at is done. */
  close(): Promise<void>;
}

/** @throws AIOT_MODEL_UNFIT (a model without classes cannot be taught), AIOT_FILE_NOT_WRITABLE, and what opening the source of labels throws */
export async function openLookers(
  options: LoopOptions,
  project: Project,
  { sensing, keeper }: Opened,
  tell: (text: string) => void,
): Promise<Lookers> {
  const { fields, rateHz } = sensing;
  if (options.record !== undefined && !options.patient)
    await requireWritable(join(options.record, 'recording'));
  const recorder =
    options.record === undefined
      ? null
      : createRecorder({
          folder: options.record,
          config: project.config,
          ...{ fields, rateHz },
          onEvent: tell,
        });
  const teaches = options.teach === true || options.teachFrom !== undefined;
  const teacher = teaches ? await openTeacher(options, project, { sensing, keeper }, tell) : null;
  const labels = teacher && options.teachFrom !== undefined ? await hear(options, teacher, tell) : null;
  const taps: LoopTap[] = [...(options.taps ?? [])];
  if (recorder) taps.push(recorder);
  if (teacher) taps.push({ samples: (batch) => teacher.push(batch) });
  return {
    ...{ taps, teacher, recorder },
    async close() {
      await labels?.();
      await Promise.all([teacher?.close(), recorder?.close()]);
    },
  };
}

async function openTeacher(
  { signal, clock, yes }: LoopOptions,
  project: Project,
  { sensing, keeper }: Pick<Opened, 'sensing' | 'keeper'>,
  tell: (text: string) => void,
): Promise<Teacher> {
  const { createTeacher } = await import('../teach/index.js');
  return createTeacher({
    // Into the project's own data, whose recordings it was trained on: they stay in the mix, and none is thrown away after a week.
    ...{ project, keeper, clock, signal, yes },
    fields: sensing.fields.map(({ name }) => name),
    rateHz: sensing.rateHz,
    onEvent: ({ text }) => tell(text),
  });
}

/** Marks what messages say. @returns what ends it */
async function hear(
  { teachFrom = '', stream = {} }: LoopOptions,
  teacher: Teacher,
  tell: (text: string) => void,
): Promise<() => Promise<void>> {
  const source = await openSource(teachFrom, stream);
  const listening = (async () => {
    for await (const delivery of deliveriesOf(source)) {
      teacher.mark(Buffer.from(delivery.message.payload).toString('utf8'));
      delivery.ack();
    }
  })().catch((error: Error) => tell(`no more labels from ${source.endpoint}: ${error.message}`));
  return async () => {
    await source.close();
    await listening;
  };
}
