import { foldsText } from '../../../src/lib/core/figures.js';
import type { LiveFigures, ModelVersion, Rollout } from '../../../src/lib/registry/index.js';
import { useResource } from '../../app/resource.js';
import { linkTo } from '../../app/route.js';
import { mayChange } from '../../app/session.js';
import { moment, plural, shellWord, size } from '../../app/text.js';
import { Badge, State } from '../../parts/badge.js';
import { Command } from '../../parts/command.js';
import { Facts, Failure, Loading, Page, Section, Tile } from '../../parts/page.js';
import { Scroll } from '../../parts/scroll.js';
import { Confusion, PerClass } from './confusion.js';
import { accuracyText, figureOf, figures, intervalOf, written } from './figures.js';
import { Lineage } from './lineage.js';
import { Stages } from './stage.js';

/** One version: how good it is, how large, where it comes from and where it runs. */
export function Version({ name, version }: { name: string; version: string }) {
  const path = `/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`;
  const { value: card, error, reload } = useResource<ModelVersion>(path, { events: ['model.*'] });
  const all = useResource<Rollout[]>('/rollouts', { all: 'rollouts', events: ['rollout.*'] });
  const live = useResource<LiveFigures>(card?.kind === 'model' ? `${path}/live` : null, {
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
      actions={card && mayChange() && <Stages card={card} moved={reload} />}
    >
      {error && <Failure error={error} />}
      {!card && !error && <Loading />}
      {card && (
        <>
          <div class="tiles">
            <Tile value={<State state={card.stage} />} label="stage" />
            <Tile value={size(card.bytes)} label="bundle" />
            <Tile value={card.arenaBytes === null ? '–' : size(card.arenaBytes)} label="arena on a device" />
            <Tile
              value={
                live.value && live.value.latencyMs.p50 > 0 ? `${written(live.value.latencyMs.p50)} ms` : '–'
              }
              label="latency on devices, median"
            />
          </div>
          {!card.trusted && (
            <p class="broken">
              Nobody whom the trust root names has signed it: it is never promoted and never rolled out.
            </p>
          )}
          <Evaluation card={card} />
          <Section title="Lineage">
            <Lineage card={card} rollouts={rollouts} />
            <Command
              line={`aiot model why ${subject}`}
              label="Its recordings, and the devices that made them"
            />
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
  const { metrics, gates, classes } = card;
  if (!metrics) {
    return (
      <Section title="Evaluation">
        <p class="soft">It was never evaluated.</p>
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
        note={`${plural(int8.windows, 'window')} of recordings that it was not trained on`}
      >
        <Scroll label="Figures">
          <table class="plain-table">
            <thead>
              <tr>
                <th scope="col">figure</th>
                <th scope="col" class="number">
                  {card.mode}
                </th>
                <th scope="col">95 % interval</th>
                <th scope="col" class="number">
                  before quantization
                </th>
                {voted && (
                  <th scope="col" class="number">
                    voted
                  </th>
                )}
                <th scope="col">limit</th>
              </tr>
            </thead>
            <tbody>
              {rows.map(({ key, title, share }) => {
                const interval = intervalOf(int8, key);
                const gate = gates.find(({ name }) => name === key);
                return (
                  <tr key={key}>
                    <th scope="row">{title}</th>
                    <td class="number">
                      <strong>{written(figureOf(int8, key), share)}</strong>
                    </td>
                    <td>
                      {interval ? (
                        <Interval interval={interval} share={share === true} />
                      ) : (
                        <span class="soft">not estimated</span>
                      )}
                    </td>
                    <td class="number">{written(figureOf(float, key), share)}</td>
                    {voted && <td class="number">{written(figureOf(voted, key), share)}</td>}
                    <td>
                      {gate && (
                        <Badge tone={gate.passed ? 'good' : 'bad'}>
                          {written(gate.limit, share)} {gate.passed ? 'kept' : 'not kept'}
                        </Badge>
                      )}
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </Scroll>
        {accuracy && (
          <p>
            Accuracy: <strong>{accuracy}</strong>. Recordings, not windows, decide how wide the interval is:
            the windows of one recording are alike.
          </p>
        )}
        <p>
          {folds ? (
            <>
              By folds over all recordings: <strong>{foldsText(folds, 'window')}</strong>.
            </>
          ) : (
            <span class="soft">
              Not measured by folds before it was bundled; <code>aiot model train --folds 5</code> does.
            </span>
          )}
        </p>
        <OtherGates card={card} shown={rows.map(({ key }) => key)} />
      </Section>
      {int8.confusion && int8.confusion.length > 0 && (
        <div class="beside">
          <Section title="Confusion">
            <Confusion classes={classes} matrix={int8.confusion} />
          </Section>
          <Section title="By class">
            <PerClass classes={classes} matrix={int8.confusion} />
          </Section>
        </div>
      )}
    </>
  );
}

/** Limits of what is no figure of the table, such as the arena. */
function OtherGates({ card: { gates }, shown }: { card: ModelVersion; shown: readonly string[] }) {
  const others = gates.filter(({ name }) => !shown.includes(name));
  if (others.length === 0) return null;
  return (
    <ul class="plain">
      {others.map(({ name, got, limit, passed }) => (
        <li key={name}>
          <Badge tone={passed ? 'good' : 'bad'}>{passed ? 'kept' : 'not kept'}</Badge> {name}{' '}
          {got === null ? 'not measured' : inUnit(name, got)}{' '}
          <span class="soft">(limit {inUnit(name, limit)})</span>
        </li>
      ))}
    </ul>
  );
}

/** Memory and files are told as such. */
function inUnit(gate: string, value: number): string {
  return gate === 'arena' || gate === 'bytes' ? size(value) : written(value);
}

/** In words, and for a share as a bar from 0 to 1. */
function Interval({ interval: [low, high], share }: { interval: [number, number]; share: boolean }) {
  return (
    <span class="interval">
      {share && (
        <svg width={84} height={10} aria-hidden="true">
          <line x1={0} x2={84} y1={5} y2={5} class="axis" />
          <line x1={low * 84} x2={Math.max(low * 84 + 2, high * 84)} y1={5} y2={5} class="span" />
        </svg>
      )}
      {written(low, share)} to {written(high, share)}
    </span>
  );
}

function Live({ live, classes }: { live: LiveFigures; classes: readonly string[] }) {
  const { windows, unlabelled, accuracy, macroF1, voted, latencyMs, devices, confusion } = live;
  const answers = Object.entries(devices);
  if (answers.length === 0) {
    return (
      <Section title="On devices">
        <p class="soft">No device has answered with it yet.</p>
      </Section>
    );
  }
  return (
    <>
      <Section
        title="On devices"
        note={`${plural(windows + unlabelled, 'answer')} of ${plural(answers.length, 'device')}`}
      >
        <Facts
          facts={[
            ...(windows > 0
              ? ([
                  ['accuracy', `${written(accuracy, true)}, voted ${written(voted.accuracy, true)}`],
                  ['macro F1', `${written(macroF1, true)}, voted ${written(voted.macroF1, true)}`],
                ] as const)
              : []),
            [
              'counted',
              windows > 0
                ? `${plural(windows, 'answer')} whose recording has a label`
                : 'nothing yet: label the recordings (aiot data label)',
            ],
            ['latency', `median ${written(latencyMs.p50)} ms, 99 % within ${written(latencyMs.p99)} ms`],
            [
              'devices',
              answers.map(([device, count]) => (
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
        <Section title="Confusion on devices">
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
          ['answers', answer ? answer.kind : 'not known'],
          ...(classes.length > 0 ? [['classes', classes.join(', ')] as const] : []),
          ['numbers', mode],
          ['kind', kind],
          ['pushed', moment(pushed)],
          ['signed', sequence > 0 ? `manifest ${sequence}` : 'no'],
          ...(origin ? [['came as', `${origin.file} by ${origin.source}`] as const] : []),
          ['digest', <code key="digest">{digest}</code>],
        ]}
      />
      <p class="gap">
        <Command
          line={`aiot model pull ${shellWord(`${name}@${version}`)} --out ${shellWord(`${name}-${version}`)}`}
          label="Its bundle, verified"
        />
      </p>
    </>
  );
}
