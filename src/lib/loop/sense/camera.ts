import { isAbsolute, join } from 'node:path';
import { AiotError } from '../../core/errors.js';
import { pictureOf } from '../../stream/camera/input.js';
import type { Source } from '../../stream/message.js';
import { openSource } from '../../stream/open.js';
import { fitPicture } from '../../vision/fit.js';
import type { SensorAddress } from './address.js';
import { followLink } from './messages.js';
import type { Incoming, RawSource, SensingContract, SensingOptions, Tell } from './types.js';

/** Schemes of `aiot stream` whose messages are pictures. */
export const pictureSchemes = ['camera', 'pictures'] as const;

interface CameraOptions {
  address: SensorAddress;
  /** Base folder for a relative folder of pictures; absent = the current folder. */
  folder?: string | undefined;
  contract: SensingContract;
  stream: SensingOptions['stream'];
  signal: AbortSignal;
  monotonicMs: () => number;
  wallMs: () => number;
  tell: Tell;
}

/** Frames that arrive earlier than this share of the time between two pictures are skipped. */
const early = 0.9;

/**
 * Reads a camera, or a folder of pictures, for a model of pictures. Each picture is fitted to the model's size, as in training, and becomes
 * a series of its pixels. A camera is configured for the number of pictures per second that the model expects, and extra pictures are
 * skipped. All pictures in a folder are read.
 * @throws AIOT_SENSOR_UNFIT (the model does not take pictures), and the errors of opening the stream
 */
export async function openCamera(options: CameraOptions): Promise<RawSource> {
  const { address, contract, signal, tell } = options;
  const { image, fields, rateHz } = contract;
  if (image === undefined || rateHz === null)
    throw new AiotError(
      'AIOT_SENSOR_UNFIT',
      `${address.scheme}: a camera sends pictures, but the model does not accept pictures`,
      {
        next: 'Use a model with signal.features: image, or loop.through: faces to detect faces.',
      },
    );
  const channels = fields.length === 3 ? 3 : 1;
  const pixels = image.width * image.height;
  const periodMs = (1000 * pixels) / rateHz;
  const faults = { overruns: 0, retries: 0, reconnects: 0 };
  const link = followLink(faults, (connected) =>
    tell(
      connected ? 'found' : 'lost',
      `${source.endpoint} ${connected ? 'is available again' : 'was disconnected: waiting for it to return'}`,
    ),
  );
  const source: Source = await openSource(streamUrl(options, 1000 / periodMs), {
    ...options.stream,
    signal,
    onState: link.onState,
  });
  const offset = options.wallMs() - options.monotonicMs();
  const live = address.scheme === 'camera';
  let last = Number.NEGATIVE_INFINITY;

  async function* batches(): AsyncGenerator<Incoming> {
    for await (const deliveries of source) {
      for (const { message, ack } of deliveries) {
        const now = options.monotonicMs() + offset;
        if (live && now - last < early * periodMs) {
          ack();
          continue;
        }
        const picture = await pictureOf(message).catch((error: unknown) => {
          if (!(error instanceof AiotError)) throw error;
          tell('skipped', `a picture is skipped: ${error.message}`);
          return null;
        });
        if (picture === null) {
          ack();
          continue;
        }
        const planes = fitPicture(picture, image!, channels);
        ack();
        // Pictures from a folder are consecutive, and pictures from a camera have their arrival time. The times of a picture's pixels must
        // not overlap those of the previous picture. Otherwise, pixels would be dropped as late, and all further windows would be
        // misaligned.
        const next = last + periodMs;
        last = last === Number.NEGATIVE_INFINITY || (live && now > next) ? now : next;
        const from = last;
        const values = Float64Array.from(
          { length: pixels * channels },
          (_, i) => planes[i % channels]![Math.floor(i / channels)]!,
        );
        const times = Float64Array.from({ length: pixels }, (_, i) => from + (1000 * i) / rateHz!);
        yield { values, times, count: pixels, lost: 0, sure: true };
      }
    }
  }

  return {
    endpoint: source.endpoint,
    fields: fields.map(({ name, unit }) => ({ name, unit })),
    rateHz,
    timing: 'exact',
    get connected() {
      return link.connected;
    },
    faults,
    [Symbol.asyncIterator]: () => batches(),
    close: () => source.close(),
  };
}

/** Pictures per second at which cameras adapt quickly to the light. */
const leastRate = 5;

/** The address for `aiot stream`. Raw pixels need no decoding. A camera's own settings take precedence. */
function streamUrl({ address: { scheme, url }, folder }: CameraOptions, perSecond: number): string {
  if (scheme !== 'camera') {
    const [, path = '', query = ''] = /^pictures:(?:\/\/)?([^?]*)(.*)$/.exec(url) ?? [];
    return `pictures://${folder === undefined || isAbsolute(path) ? path : join(folder, path)}${query}`;
  }
  const fps = Math.min(240, Math.max(leastRate, Math.ceil(perSecond)));
  const given = new Set((url.split('?', 2)[1] ?? '').split('&').map((pair) => pair.split('=', 1)[0]));
  const more = Object.entries({ fps, format: 'rgb' }).filter(([key]) => !given.has(key));
  return more.reduce((all, [key, value]) => `${all}${all.includes('?') ? '&' : '?'}${key}=${value}`, url);
}
