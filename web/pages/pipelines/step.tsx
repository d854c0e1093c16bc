import type { ToldStep } from '../../../src/lib/api/index.js';
import { stepLabel } from '../../../src/lib/pipeline/graph-model.js';
import { lasting, size } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Facts, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { toneOf } from './states.js';

interface StepFile {
  direction: string;
  file: string;
  digest: string;
  bytes: number | null;
}

const columns: Column<StepFile>[] = [
  { title: 'direction', cell: ({ direction }) => direction, sort: ({ direction }) => direction },
  { title: 'file', cell: ({ file }) => file, sort: ({ file }) => file },
  {
    title: 'digest',
    cell: ({ digest }) => <code>{digest.replace(/^sha256:/, '').slice(0, 12)}</code>,
    sort: ({ digest }) => digest,
  },
  {
    title: 'size',
    cell: ({ bytes }) => (bytes === null ? '' : size(bytes)),
    sort: ({ bytes }) => bytes,
    number: true,
  },
];

/** Details of one step of a run. */
export function Step({ step }: { step: ToldStep }) {
  const {
    name,
    about,
    state,
    cached,
    seconds,
    attempts,
    exit,
    peakBytes,
    reason,
    error,
    inputs,
    outputs,
    log,
  } = step;
  const facts = [
    [
      'state',
      <span key="state">
        <Badge tone={toneOf(state)}>{stepLabel(step)}</Badge>
        {cached && <span class="soft"> cached: the inputs have not changed</span>}
      </span>,
    ],
    ...(reason === null ? [] : [['reason', reason] as const]),
    ...(error ? [['error', `${error.message} (${error.code})`] as const] : []),
    ...(cached ? [] : [['duration', lasting(seconds * 1000)] as const]),
    ...(attempts > 1 ? [['attempts', attempts] as const] : []),
    ...(exit === null || exit === 0 ? [] : [['exit code', exit] as const]),
    ...(peakBytes === null ? [] : [['peak memory', size(peakBytes)] as const]),
    ...(step.gate === null ? [] : [['gate', step.gate] as const]),
  ] as const;
  const files: StepFile[] = [
    ...Object.entries(inputs).map(([file, digest]) => ({ direction: 'input', file, digest, bytes: null })),
    ...Object.entries(outputs).map(([file, { digest, bytes }]) => ({
      direction: 'output',
      file,
      digest,
      bytes,
    })),
  ];
  return (
    <Section title={name} note={about}>
      <Facts facts={facts} />
      {error?.next && <Command line={error.next} label="Next step" />}
      {files.length > 0 && (
        <Scroll label={`Inputs and outputs of ${name}`}>
          <ShortTable
            rows={files}
            columns={columns}
            keyOf={({ direction, file }) => `${direction} ${file}`}
            label={`Inputs and outputs of ${name}`}
            name="files"
          />
        </Scroll>
      )}
      {log !== '' && (
        <Scroll label={`Log of ${name}`}>
          <pre>{log}</pre>
        </Scroll>
      )}
    </Section>
  );
}
