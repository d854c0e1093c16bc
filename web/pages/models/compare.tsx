import type { ModelVersion } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { moment, shellWord, size } from '../../app/text.js';
import { Failure, Loading, Page, Section } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { Confusion } from './confusion.js';
import { figureOf, figures, written } from './figures.js';

interface Row {
  title: string;
  a: string;
  b: string;
  /** What b has more or less, in words. */
  difference: string;
  better?: boolean;
}

/** Two versions of a model beside each other; what differs is marked. */
export function Compare({ name, a, b }: { name: string; a: number; b: number }) {
  const path = `/models/${encodeURIComponent(name)}/versions`;
  const one = useResource<ModelVersion>(`${path}/${a}`, { events: ['model.*'] });
  const other = useResource<ModelVersion>(`${path}/${b}`, { events: ['model.*'] });
  const error = one.error ?? other.error;
  const both = one.value && other.value ? ([one.value, other.value] as const) : null;
  const pull = (version: number) =>
    `aiot model pull ${shellWord(name)}@${version} --out ${shellWord(`${name}-${version}`)}`;
  return (
    <Page
      title={`${name}: @${a} and @${b}`}
      above={{ title: name, to: linkTo(['models', name]) }}
      command={`${pull(a)} && ${pull(b)}`}
    >
      {error && <Failure error={error} />}
      {!both && !error && <Loading />}
      {both && (
        <>
          <Scroll label="Differences">
            <table class="plain-table">
              <thead>
                <tr>
                  <th scope="col">of</th>
                  {both.map(({ version }) => (
                    <th key={version} scope="col" class="number">
                      <a href={linkTo(['models', name, version])}>@{version}</a>
                    </th>
                  ))}
                  <th scope="col" class="number">
                    difference
                  </th>
                </tr>
              </thead>
              <tbody>
                {rowsOf(...both).map(({ title, a: left, b: right, difference, better }) => (
                  <tr key={title} class={left === right ? '' : 'differs'}>
                    <th scope="row">{title}</th>
                    <td class="number">{left}</td>
                    <td class="number">{right}</td>
                    <td class={`number ${better === undefined ? '' : better ? 'good' : 'bad'}`}>
                      {left === right ? <span class="soft">same</span> : difference}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <div class="beside">
            {both.map((version) => (
              <Section key={version.version} title={`Confusion of @${version.version}`}>
                <Confusion
                  classes={version.classes}
                  matrix={version.metrics?.int8.confusion}
                  label={`Confusion matrix of @${version.version}`}
                />
              </Section>
            ))}
          </div>
        </>
      )}
    </Page>
  );
}

function rowsOf(a: ModelVersion, b: ModelVersion): Row[] {
  const plain = (title: string, of: (version: ModelVersion) => string): Row => ({
    title,
    a: of(a),
    b: of(b),
    difference: 'differs',
  });
  const bytes = (title: string, of: (version: ModelVersion) => number | null): Row => {
    const [left, right] = [of(a), of(b)];
    const more = left === null || right === null ? null : right - left;
    return {
      title,
      a: left === null ? '–' : size(left),
      b: right === null ? '–' : size(right),
      difference: more === null ? 'differs' : `${more < 0 ? '−' : '+'}${size(Math.abs(more))}`,
      ...(more ? { better: more < 0 } : {}),
    };
  };
  const measured = figures.flatMap(({ key, title, share, less }): Row[] => {
    const [left, right] = [figureOf(a.metrics?.int8, key), figureOf(b.metrics?.int8, key)];
    if (left === undefined && right === undefined) return [];
    const more = left === undefined || right === undefined ? null : right - left;
    const points =
      more === null ? '' : share ? `${(Math.abs(more) * 100).toFixed(1)} points` : written(Math.abs(more));
    return [
      {
        title,
        a: written(left, share),
        b: written(right, share),
        difference: more === null ? 'differs' : `${more < 0 ? '−' : '+'}${points}`,
        ...(more ? { better: less ? more < 0 : more > 0 } : {}),
      },
    ];
  });
  return [
    plain('stage', ({ stage }) => stage),
    ...measured,
    plain('windows evaluated', ({ metrics }) => metrics?.int8.windows.toLocaleString('en') ?? '–'),
    bytes('bundle', (version) => version.bytes),
    bytes('arena', ({ arenaBytes }) => arenaBytes),
    plain('numbers', ({ mode }) => mode),
    plain('classes', ({ classes }) => classes.join(', ') || '–'),
    plain('data set', ({ lineage }) => lineage?.dataset.name ?? 'not known'),
    plain('contents of it', ({ lineage }) => lineage?.dataset.digest.slice(0, 19) ?? 'not known'),
    plain('recordings', ({ lineage }) => lineage?.dataset.recordings.toLocaleString('en') ?? 'not known'),
    plain('pushed', ({ pushed }) => moment(pushed)),
  ];
}
