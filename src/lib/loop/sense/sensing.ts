import type { Clock } from '../../core/index.js';
import type { SampleBatch, SourceFaults } from '../../sensor/index.js';
import type { Sensing } from '../types.js';
import type { SensorAddress } from './address.js';
import type { Tell } from './events.js';
import { mapFields } from './fields/map.js';
import { createConverter } from './stage/convert.js';
import { type Counts, createFollower } from './stage/follow.js';
import { createGrid } from './stage/grid.js';
import { createRateWatch } from './stage/rate-watch.js';
import { createRepeats } from './stage/repeats.js';
import { createRisingTimes } from './stage/rising-times.js';
import { createMeasure } from './time/measure.js';
import type { Incoming, RawSource, SensingContract } from './types.js';

export interface SensingPorts {
  clock: Clock;
  monotonicMs: () => number;
  tell: Tell;
}

/** This machine's clock moved, if it did so by more than this, ms. */
const movedMs = 1000;
/** How fast the times that are told follow a clock that is off by less, as a share of the time that passes. */
const slew = 0.005;

/**
 * A source in the contract's fields, units and rate, and what its samples are like.
 * @throws AIOT_SENSOR_UNFIT
 */
export function sensingOf(
  source: RawSource,
  address: Pick<SensorAddress, 'fields' | 'bridge' | 'resample'>,
  contract: SensingContract,
  { clock, monotonicMs, tell }: SensingPorts,
): Sensing {
  const wants = contract.fields;
  const mapped = mapFields(source.fields, wants, address.fields, source.endpoint);
  const convert = createConverter(mapped, source.fields.length);
  const counts: Counts = { samples: 0, lost: 0, gaps: 0 };
  const told = createRisingTimes();
  const repeats = createRepeats(wants.length, tell);
  let stages: Stages | undefined;
  let stepped = 0;
  let followed = monotonicMs();
  let wall = clock.now() - followed;

  /** Samples that are stamped on arrival are stamped by a clock that never steps: what is told goes along with the one that does. */
  const followClock = () => {
    const now = monotonicMs();
    const off = clock.now() - now - wall;
    const set = Math.abs(off) >= movedMs;
    // Clocks drift apart, too: that is followed slowly, and nothing to be told.
    const most = slew * (now - followed);
    // Within a millisecond there is nothing to follow: it is what the clock counts in.
    const moved = set ? off : Math.abs(off) <= 1 ? 0 : Math.max(-most, Math.min(most, off));
    followed = now;
    wall += moved;
    if (set) tell('jump', `the clock of this machine moved by ${(moved / 1000).toFixed(1)} s`);
    if (source.timing === 'arrival' && !source.kept) told.move(moved);
  };

  /** Times in which no clock was set: a step of this machine's moves what is told alone. */
  const unmoved = (batch: Incoming): Float64Array => {
    const { clockStepMs = 0, times } = batch;
    if (clockStepMs > 0) {
      stepped += clockStepMs;
      told.move(clockStepMs);
    }
    return stepped === 0 ? times : times.map((t) => t - stepped);
  };

  const take = (batch: Incoming): SampleBatch[] => {
    followClock();
    // Messages say what they are like with the first of them.
    stages ??= createStages(source, address, contract, { counts, tell, monotonicMs });
    const { follower, grid, watch } = stages;
    const values = convert(batch);
    repeats(values, batch.count);
    const out: SampleBatch[] = [];
    for (const segment of follower.add({ ...batch, values, times: unmoved(batch) })) {
      for (const made of grid.add(segment)) out.push(made);
    }
    watch();
    return out;
  };

  const label = (batch: SampleBatch): SampleBatch => {
    told.apply(batch, stages?.follower.periodMs ?? 1);
    return { values: batch.values, times: batch.times, count: batch.count, lost: batch.lost };
  };

  async function* batches(): AsyncGenerator<SampleBatch> {
    for await (const batch of source) {
      for (const out of take(batch)) yield label(out);
    }
    for (const out of stages?.grid.end() ?? []) yield label(out);
  }

  return {
    endpoint: source.endpoint,
    fields: wants,
    get rateHz() {
      return contract.rateHz ?? source.rateHz ?? 1;
    },
    get faults(): Readonly<SourceFaults> {
      return source.faults;
    },
    get connected() {
      return source.connected ?? true;
    },
    rates: () => ({
      ...counts,
      rateHz: stages?.measure.rateHz() ?? null,
      jitterP99Ms: stages?.measure.jitterP99Ms() ?? null,
    }),
    ...(source.reply ? { reply: source.reply.bind(source) } : {}),
    [Symbol.asyncIterator]: () => batches(),
    close: () => source.close(),
  };
}

type Stages = ReturnType<typeof createStages>;

function createStages(
  { timing, rateHz: nominalHz }: RawSource,
  { bridge, resample }: Pick<SensorAddress, 'bridge' | 'resample'>,
  { fields, rateHz: contractHz }: SensingContract,
  { counts, tell, monotonicMs }: Pick<SensingPorts, 'tell' | 'monotonicMs'> & { counts: Counts },
) {
  const measure = createMeasure(timing);
  const measuredHz = () => measure.rateHz();
  const shape = { fields: fields.length, timing, nominalHz, tell };
  const grid = createGrid({ ...shape, contractHz, resample, measuredHz });
  const expected = () => {
    if (grid.state === 'passing') return { hz: contractHz, of: 'the model takes' };
    return { hz: grid.state === 'resampling' ? nominalHz : null, of: 'it is set to' };
  };
  return {
    measure,
    follower: createFollower({ ...shape, bridge, measure, counts, monotonicMs }),
    grid,
    watch: createRateWatch(expected, measuredHz, tell),
  };
}
