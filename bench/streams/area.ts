// Compares streams with the usual tools, on brokers started here. Whole processes run alternately, and are timed from the first message
// to the last. Messages are in the format of the guide, 127 bytes each. The peers evaluate no expressions, even where aiot does.
import type { Area, Bench } from '../harness/area.js';
import { type Figure, growth } from '../harness/figure.js';
import { type Part, parts, versionOf } from '../harness/parts.js';
import { bridgeFigures, bridgeSeconds } from './bridge.js';
import { facesShares, mostOfCore } from './faces.js';
import { insideFigures } from './inside.js';
import { kafkaFigures } from './kafka.js';
import { type Compared, mqttFigures, tailRate } from './mqtt.js';
import { natsFigures } from './nats.js';
import { routeFigures } from './route.js';

const kafka = [parts.kafka, parts.java];

export const area: Area = {
  about: 'tail, routes and bridges',
  cases: {
    mqtt: beside('mosquitto_sub', [parts.mosquitto, parts.mosquittoSub], mqttFigures, () =>
      versionOf('mosquitto_sub', '--help'),
    ),
    kafka: beside(
      'kcat',
      [...kafka, parts.kcat],
      // With fewer messages, all would be read while V8 is still compiling our code.
      (options) => kafkaFigures({ ...options, messages: 100_000, rounds: Math.max(3, options.rounds) }),
      () => versionOf('kcat', '-V'),
    ),
    nats: beside("nats's own client", [parts.nats], natsFigures, () => versionOf('nats-server', '-v')),
    route: { needs: kafka, run: route },
    bridge: beside("the guide's bridge in Go", [...kafka, parts.mosquitto, parts.go], bridgeFigures),
    inside: beside("the guide's bridge in Go", [...kafka, parts.go], insideFigures),
    faces: { needs: [parts.mosquitto, parts.ffmpeg, parts.pictures], run: faces },
    growth: { needs: [...kafka, parts.mosquitto, parts.mosquittoSub], run: growing },
  },
};

interface Size {
  messages: number;
  rounds: number;
  quick: boolean;
}

const sizeOf = ({ quick }: Bench): Size =>
  quick ? { messages: 20_000, rounds: 2, quick } : { messages: 100_000, rounds: 5, quick };

function beside(
  name: string,
  needs: readonly Part[],
  compare: (size: Size) => Promise<Compared[]>,
  version: () => string | undefined = () => undefined,
) {
  const run = async (bench: Bench): Promise<Figure[]> => {
    const all = await compare(sizeOf(bench));
    return all.map(({ what, ours, theirs, least, note, fails }) => ({
      ...{ name: what, unit: '/s', better: 'higher', ours, goal: least, note, fails },
      peer: { name, version: version(), rounds: theirs },
    }));
  };
  return { peer: name, needs, run };
}

/** A route with where, map and key in JSONata, compared with the same route without them. */
async function route(bench: Bench): Promise<Figure[]> {
  const { mapped, plain, note } = await routeFigures(sizeOf(bench));
  const own = { unit: '/s', better: 'higher', ours: mapped } as const;
  return [
    { ...own, name: 'route with where, map and key, Kafka to Kafka', goal: 20_000, slack: 4 },
    {
      ...{ ...own, name: 'the same, compared with the route without them', goal: 0.4, note },
      peer: { name: 'aiot without expressions', rounds: plain },
    },
  ];
}

/** A camera at 10 frames per second, 640 × 480. */
async function faces({ quick }: Bench): Promise<Figure[]> {
  const all = await facesShares({ quick, rounds: quick ? 2 : 5 });
  return all.map(({ to, shares }) => ({
    ...{ name: `faces, 10 pictures per second to ${to}`, unit: '% of a core', goal: mostOfCore * 100 },
    ours: shares.map((share) => share * 100),
  }));
}

/**
 * Growth of the cost with the number of messages: `stream tail` from Mosquitto at QoS 1, a bridge at QoS 1, and a route with
 * expressions. For the route, CPU time is measured, because it writes a small number of messages in a single batch.
 */
async function growing({ quick }: Bench): Promise<Figure[]> {
  const costs: [what: string, unit: string, costOf: (size: number) => Promise<number>][] = [
    ['tail', 's', async (size) => size / (await tailRate(size))],
    [
      'route with where, map and key',
      'processor s',
      async (size) => (await routeFigures({ messages: size, rounds: 1 })).cpu[0]!,
    ],
    ['bridge', 's', bridgeSeconds],
  ];
  const figures = [];
  for (const [what, unit, costOf] of costs) {
    const points = [];
    for (const size of quick ? [2000, 20_000] : [4000, 40_000, 400_000])
      points.push({ size, cost: await costOf(size) });
    figures.push(growth(`${what}, messages`, 1.1, points, unit));
  }
  return figures;
}
