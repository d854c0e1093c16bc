import type { LiveFigures, ModelVersion } from '../../../src/lib/api/index.js';
import { foldsText } from '../../../src/lib/core/figures.js';
import { at } from '../../app/api.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { plural, shellWord, size } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Facts, Failure, Loading, Page, Section, Tile } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { type Column, ShortTable } from '../../parts/table.js';
import { When } from '../../parts/when.js';
import { Confusion, PerClass } from './confusion.js';
import {
  accuracyText,
  type Figures,
  type Format,
  figureOf,
  figures,
  intervalOf,
  written,
} from './figures.js';
import { Lineage } from './lineage.js';
import { Stages } from './stage.js';

/** One version, with its quality, size, origin and use. */
export function Version({ name, version }: { name: string; version: string }) {
  const params = { name, version: Number(version) };
  const place = at('GET /models/:name/versions/:version', params);
  const { value: card, error, reload } = useResource(place, { events: ['model.*'] });
  const all = useResource(at('GET /rollouts', {}), { all: 'rollouts', events: ['rollout.*'] });
  const figures = at('GET /models/:name/versions/:version/live', params);
  const live = useResource(card?.kind === 'model' ? figures : null, {
    events: ['data.label', 'rollout.*'],
  });
  const subject = shellWord(`${name}@${version}`);
  const rollouts = (all.value ?? []).filter(({ releases }) =>
    releases.some((one) => one.kind === 'model' && one.name === name && one.version === Number(version)),
  );
  return (
    <Page
      title={`${name}@${version}`}
      above={{ title: name, to: linkTo(['models', name]) }}
      command={`aiot model show ${subject}`}
      actions={
        card &&
        mayChange() && (
          <>
            {card.trusted && card.kind === 'model' && (
              <a href={linkTo(['rollouts', 'new'], { model: `${name}@${version}` })}>Roll out</a>
            )}
            <Stages card={card} moved={reload} />
          </>
        )
      }
    >
      {error && <Failure error={error} />}
      {!card && !error && <Loading />}
      {card && (
        <>
          <div class="tiles">
            <Tile value={<State state={card.stage} />} label="stage" />
            <Tile value={size(card.bytes)} label="bundle" />
            <Tile
              value={card.arenaBytes === null ? '–' : size(card.arenaBytes)}
              label="arena (RAM on a device)"
            />
            <Tile
              value={
                live.value && live.value.latencyMs.p50 > 0 ? `${written(live.value.latencyMs.p50)} ms` : '–'
              }
              label="median latency on devices"
            />
          </div>
          {!card.trusted && (
            <p class="broken">
              This version is not signed by a trusted key. It cannot be promoted or deployed.
              <Command line={`aiot model sign ${subject}`} label="Next step" />
            </p>
          )}
          <Evaluation card={card} />
          <Section title="Lineage">
            <Lineage card={card} rollouts={rollouts} />
            <Command line={`aiot model lineage ${subject}`} label="Recordings and their devices" />
          </Section>
          {live.value && <Live live={live.value} classes={card.classes} />}
          <Section title="About">
            <About card={card} />
          </Section>
        </>
      )}
    </Page>
  );
}

function Evaluation({ card }: { card: ModelVersion }) {
  const { metrics, classes } = card;
  if (!metrics) {
    return (
      <Section title="Evaluation">
        <p class="soft">
          This version was pushed without metrics. Run aiot model evaluate before aiot model push.
        </p>
      </Section>
    );
  }
  const { float, int8, voted, folds } = metrics;
  const accuracy = accuracyText(int8);
  const rows = figures.filter(({ key }) =>
    [float, int8, voted].some((of) => figureOf(of, key) !== undefined),
  );
  return (
    <>
      <Section
        title="Evaluation"
        note={`${plural(int8.windows, 'window')} of recordings that were not used for training`}
      >
        <Scroll label="Metrics">
          <ShortTable
            rows={rows}
            columns={columnsOf(card)}
            keyOf={({ key }) => key}
            label="Metrics"
            name="metrics"
          />
        </Scroll>
        {accuracy && (
          <p>
            Accuracy: <strong>{accuracy}</strong>. The interval is computed over recordings, because windows
            of one recording are similar.
          </p>
        )}
        <p>
          {folds ? (
            <>
              Cross-validation over all recordings: <strong>{foldsText(folds, 'window')}</strong>.
            </>
          ) : (
            <span class="soft">
              Not cross-validated. To cross-validate, train with <code>aiot model train --folds 5</code>.
            </span>
          )}
        </p>
        <OtherGates card={card} shown={rows.map(({ key }) => key)} />
      </Section>
      {int8.confusion && int8.confusion.length > 0 && (
        <div class="beside">
          <Section title="Confusion matrix">
            <Confusion classes={classes} matrix={int8.confusion} />
          </Section>
          <Section title="Metrics per class">
            <PerClass classes={classes} matrix={int8.confusion} />
          </Section>
        </div>
      )}
    </>
  );
}

function columnsOf({ metrics, gates, mode }: ModelVersion): Column<(typeof figures)[number]>[] {
  const { float, int8, voted } = metrics ?? {};
  const gateOf = (key: string) => gates.find(({ name }) => name === key);
  const measured = (title: string, of: Figures | null | undefined): Column<(typeof figures)[number]> => ({
    title,
    cell: ({ key, format }) => written(figureOf(of, key), format),
    sort: ({ key }) => figureOf(of, key) ?? null,
    number: true,
  });
  return [
    { title: 'metric', cell: ({ title }) => title, sort: ({ title }) => title },
    {
      ...measured(mode, int8),
      cell: ({ key, format }) => <strong>{written(figureOf(int8, key), format)}</strong>,
    },
    {
      title: '95 % interval',
      cell: ({ key, format }) => {
        const interval = intervalOf(int8, key);
        return interval ? (
          <Interval interval={interval} format={format} />
        ) : (
          <span class="soft">not estimated</span>
        );
      },
      sort: ({ key }) => intervalOf(int8, key)?.[0] ?? null,
    },
    measured('float', float),
    ...(voted ? [measured('smoothed', voted)] : []),
    {
      title: 'gate',
      cell: ({ key, format }) => {
        const gate = gateOf(key);
        return (
          gate && (
            <Badge tone={gate.passed ? 'good' : 'bad'}>
              {gate.passed ? 'passed' : 'failed'}, limit {written(gate.limit, format)}
            </Badge>
          )
        );
      },
      sort: ({ key }) => gateOf(key)?.limit ?? null,
    },
  ];
}

/** Gates on metrics that are not in the table, such as the arena. */
function OtherGates({ card: { gates }, shown }: { card: ModelVersion; shown: readonly string[] }) {
  const others = gates.filter(({ name }) => !shown.includes(name));
  if (others.length === 0) return null;
  return (
    <ul class="plain">
      {others.map(({ name, got, limit, passed }) => (
        <li key={name}>
          <Badge tone={passed ? 'good' : 'bad'}>{passed ? 'passed' : 'failed'}</Badge>{' '}
          {gateTitles[name] ?? name} {got === null ? 'not measured' : inUnit(name, got)}{' '}
          <span class="soft">(limit {inUnit(name, limit)})</span>
        </li>
      ))}
    </ul>
  );
}

const gateTitles: Record<string, string> = {
  drop: 'drop of macro-F1 from float to quantized',
  macs: 'multiply-accumulates',
  bytes: 'model size',
};

/** The value of a gate; memory and file sizes get a unit. */
function inUnit(gate: string, value: number): string {
  return gate === 'arena' || gate === 'bytes' ? size(value) : written(value);
}

/** An interval as text and, for a share or a score, also as a bar from 0 to 1. */
function Interval({ interval: [low, high], format }: { interval: [number, number]; format: Format }) {
  return (
    <span class="interval">
      {format !== 'number' && (
        <svg width={84} height={10} aria-hidden="true">
          <line x1={0} x2={84} y1={5} y2={5} class="axis" />
          <line x1={low * 84} x2={Math.max(low * 84 + 2, high * 84)} y1={5} y2={5} class="span" />
        </svg>
      )}
      {written(low, format)} to {written(high, format)}
    </span>
  );
}

function Live({ live, classes }: { live: LiveFigures; classes: readonly string[] }) {
  const { windows, unlabelled, accuracy, macroF1, voted, latencyMs, devices, confusion } = live;
  const predictions = Object.entries(devices);
  if (predictions.length === 0) {
    return (
      <Section title="On devices">
        <p class="soft">No predictions from devices yet.</p>
      </Section>
    );
  }
  return (
    <>
      <Section
        title="On devices"
        note={`${plural(windows + unlabelled, 'prediction')} from ${plural(predictions.length, 'device')}`}
      >
        <Facts
          facts={[
            ...(windows > 0
              ? ([
                  ['accuracy', `${written(accuracy, 'share')}, ${written(voted.accuracy, 'share')} smoothed`],
                  ['macro-F1', `${written(macroF1, 'score')}, ${written(voted.macroF1, 'score')} smoothed`],
                ] as const)
              : []),
            [
              'scored',
              windows > 0
                ? `${plural(windows, 'prediction')} with a labeled recording`
                : 'none yet; label the recordings with aiot data label',
            ],
            ['latency', `median ${written(latencyMs.p50)} ms, 99th percentile ${written(latencyMs.p99)} ms`],
            [
              'devices',
              predictions.map(([device, count]) => (
                <span key={device} class="item">
                  <a href={linkTo(['devices', device])}>{device}</a>{' '}
                  <span class="soft">{count.toLocaleString('en')}</span>{' '}
                </span>
              )),
            ],
          ]}
        />
      </Section>
      {windows > 0 && (
        <Section title="Confusion matrix on devices">
          <Confusion classes={classes} matrix={confusion} label="Confusion matrix on devices" />
        </Section>
      )}
    </>
  );
}

function About({ card }: { card: ModelVersion }) {
  const { name, version, sequence, digest, pushed, answer, classes, mode, kind, origin } = card;
  return (
    <>
      <Facts
        facts={[
          ['prediction', answer ? answer.kind : 'unknown'],
          ...(classes.length > 0 ? [['classes', classes.join(', ')] as const] : []),
          ['data type', mode],
          ['kind', kind],
          ['pushed', <When key="pushed" at={pushed} />],
          ['signed', sequence > 0 ? `as release number ${sequence}` : 'no'],
          ...(origin ? [['imported', `${origin.file} from ${origin.source}`] as const] : []),
          ['digest', <code key="digest">{digest}</code>],
        ]}
      />
      <p class="gap">
        <Command
          line={`aiot model pull ${shellWord(`${name}@${version}`)} --out ${shellWord(`${name}-${version}`)}`}
          label="Download and verify the bundle"
        />
      </p>
    </>
  );
}
