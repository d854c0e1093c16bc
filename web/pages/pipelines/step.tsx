import { stepLabel } from '../../../src/lib/pipeline/graph-model.js';
import type { ToldStep } from '../../../src/lib/registry/index.js';
import { lasting, size } from '../../app/text.js';
import { Badge } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Facts, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { toneOf } from './states.js';

/** What is known of one step of a run. */
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
        {cached && <span class="soft"> not run again: its inputs have not changed</span>}
      </span>,
    ],
    ...(reason === null ? [] : [['reason', reason] as const]),
    ...(error ? [['error', `${error.message} (${error.code})`] as const] : []),
    ...(cached ? [] : [['took', lasting(seconds * 1000)] as const]),
    ...(attempts > 1 ? [['attempts', attempts] as const] : []),
    ...(exit === null || exit === 0 ? [] : [['exit code', exit] as const]),
    ...(peakBytes === null ? [] : [['memory, most', size(peakBytes)] as const]),
    ...(step.gate === null ? [] : [['gate', step.gate] as const]),
  ] as const;
  const files = [
    ...Object.entries(inputs).map(([of, digest]) => ({ way: 'in', of, digest, bytes: null })),
    ...Object.entries(outputs).map(([of, { digest, bytes }]) => ({ way: 'out', of, digest, bytes })),
  ];
  return (
    <Section title={name} note={about}>
      <Facts facts={facts} />
      {error?.next && <Command line={error.next} label="What to do" />}
      {files.length > 0 && (
        <Scroll label={`Inputs and outputs of ${name}`}>
          <table class="files">
            <thead>
              <tr>
                <th scope="col">way</th>
                <th scope="col">file</th>
                <th scope="col">digest</th>
                <th scope="col" class="number">
                  size
                </th>
              </tr>
            </thead>
            <tbody>
              {files.map(({ way, of, digest, bytes }) => (
                <tr key={`${way} ${of}`}>
                  <td>{way}</td>
                  <td>{of}</td>
                  <td>
                    <code>{digest.replace(/^sha256:/, '').slice(0, 12)}</code>
                  </td>
                  <td class="number">{bytes === null ? '' : size(bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {log !== '' && (
        <Scroll label={`What ${name} said`}>
          <pre>{log}</pre>
        </Scroll>
      )}
    </Section>
  );
}
