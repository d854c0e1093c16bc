import type { RolloutPlan } from '../../../src/lib/api/index.js';
import { releaseText } from '../../../src/lib/api/rollouts/words.js';
import { plural, size } from '../../app/text.js';
import { Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';

const named = 5;

/** The plan: what would happen to which devices, in which order. */
export function Plan({ plan: { request, waves, offline, warnings, deltas } }: { plan: RolloutPlan }) {
  const away = new Set(offline);
  const rows = waves.map((names, index) => ({ index, names }));
  const columns: Column<(typeof rows)[number]>[] = [
    { title: 'wave', cell: ({ index }) => index + 1, sort: ({ index }) => index },
    {
      title: 'devices',
      cell: ({ names }) => names.length.toLocaleString('en'),
      sort: ({ names }) => names.length,
      number: true,
    },
    {
      title: 'offline',
      cell: ({ names }) => names.filter((name) => away.has(name)).length.toLocaleString('en'),
      sort: ({ names }) => names.filter((name) => away.has(name)).length,
      number: true,
    },
    {
      title: 'names',
      cell: ({ names }) => `${names.slice(0, named).join(', ')}${names.length > named ? ', …' : ''}`,
      sort: ({ names }) => names[0] ?? '',
      width: '60%',
    },
  ];
  const isOfSettings = request.releases.some(({ kind }) => kind === 'settings');
  const what = request.releases.map(releaseText).join(' + ');
  return (
    <Section title="Plan" note="nothing has been started">
      <p role="status">
        {what} would be {isOfSettings ? 'applied to' : 'installed on'} {plural(waves.flat().length, 'device')}{' '}
        in {plural(waves.length, 'wave')}.
      </p>
      <Scroll label="Planned waves">
        <ShortTable
          rows={rows}
          columns={columns}
          keyOf={({ index }) => String(index)}
          label="Planned waves"
          name="plan"
        />
      </Scroll>
      {deltas.length > 0 && (
        <p>
          {deltas
            .map(
              ({ devices, bytes, of }) =>
                `${plural(devices, 'device')} by a delta of ${size(bytes)} instead of ${size(of)}`,
            )
            .join('; ')}
        </p>
      )}
      {warnings.length > 0 && (
        <ul>
          {warnings.map((warning) => (
            <li key={warning}>{warning}</li>
          ))}
        </ul>
      )}
    </Section>
  );
}
