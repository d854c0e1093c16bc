import * as z from 'zod';
import { AiotError } from '../../core/errors.js';
import { issueText } from '../../core/issues.js';
import { type Face, faceModelNames, openFaceDetector, overlap } from '../../vision/detector.js';
import { cropGray, cropRegion, shrinkGray } from '../../vision/faces.js';
import { grayPng, type Picture } from '../../vision/picture.js';
import { frameHeaders, pictureOf } from '../camera/input.js';
import type { Header, Message, OutgoingMessage } from '../message.js';
import { duration } from './schema.js';
import type { OpenProcessor } from './types.js';

/**
 * Detects faces in pictures. Each face is passed on as a gray PNG with the topic `faces`, and its score and box in headers.
 * Accepts raw and compressed pictures from `camera:`, `pictures:`, and any other source.
 */
export const openFaces: OpenProcessor = async (settings) => {
  const wanted = readFacesSettings(settings);
  const detector = await openFaceDetector(wanted);
  const tracks = createTracks(wanted.every);
  const facesOf = (picture: Picture, message: Message): OutgoingMessage[] =>
    tracks.due(detector.detect(picture).slice(0, wanted.most), message.time).flatMap((face) => {
      const region = cropRegion(picture, face, wanted.margin);
      if (!region) return [];
      const gray = cropGray(picture, region);
      const box = [region.x, region.y, region.width, region.height].join(',');
      return {
        topic: 'faces',
        payload: grayPng(wanted.size === undefined ? gray : shrinkGray(gray, wanted.size)),
        headers: headersOf(message, { score: face.score.toFixed(3), box }),
      };
    });
  // Results keep the order of the messages, although pictures may be decoded in another order.
  let before: Promise<unknown> = Promise.resolve();
  return {
    process(message) {
      const picture = pictureOf(message);
      const result = before.then(async () => facesOf(await picture, message));
      before = result.catch(() => {});
      // `result` reports a failure to decode, so the rejection of `picture` itself is ignored.
      picture.catch(() => {});
      return result;
    },
    close: async () => detector.close(),
  };
};

/** Headers of a face's picture: its score and box, and the original picture's headers except those that describe its encoding. */
function headersOf({ headers = [], topic }: Message, face: { score: string; box: string }): Header[] {
  const stored: string[] = [frameHeaders.contentType, frameHeaders.width, frameHeaders.height];
  return [
    [frameHeaders.contentType, 'image/png'],
    ['camera', topic],
    ['score', face.score],
    // Box of the face as x, y, width and height, in pixels of the picture.
    ['box', face.box],
    ...headers.filter(([name]) => !stored.includes(name)),
  ];
}

/** Settings of a route's `through: {faces: {…}}`. */
const facesSettings = z.strictObject({
  model: z.enum(faceModelNames).default('sparse'),
  /** Minimum score of a face, 0…1; absent = the model's default. */
  minScore: z.number().min(0.05).max(0.99).optional(),
  /** Factor for reducing pictures before detection (see DetectorOptions). */
  zoom: z.number().min(1).max(4).default(1),
  /** Margin on each side, as a share of the face's width or height; 0 = from eyebrows to chin. */
  margin: z.number().min(0).max(2).default(0),
  /** Longest side of the output, pixels; absent = the size in the picture. */
  size: z.int().min(8).max(4096).optional(),
  /** Maximum number of faces in one picture. If there are more, those with the highest scores are used. */
  most: z.int().min(1).default(100),
  /** Interval at which a face that stays in place is sent, such as 1s; 0 = for each picture. */
  every: duration.default(0),
});

type FacesSettings = z.output<typeof facesSettings>;

/** @throws AIOT_ROUTE_INVALID with the name of the setting */
function readFacesSettings(settings: Readonly<Record<string, unknown>>): FacesSettings {
  const result = facesSettings.safeParse(settings);
  if (result.success) return result.data;
  throw new AiotError(
    'AIOT_ROUTE_INVALID',
    `through: faces: ${issueText(result.error, 'the settings', settings)}`,
  );
}

/** Intersection over union (IoU) above which two boxes in consecutive pictures are the same face. */
const same = 0.3;

/** How long a face may go undetected and still be considered the same, ms. */
const patience = 2_000;

/** Limits how often a face that stays in place is sent. */
interface Tracks {
  /** Returns the faces of a picture that are due to be sent: new ones, and those last sent `everyMs` ago. */
  due(faces: readonly Face[], time: number): Face[];
}

function createTracks(everyMs: number): Tracks {
  let tracks: { face: Face; seen: number; given: number }[] = [];
  return {
    due(faces, time) {
      if (everyMs <= 0) return [...faces];
      const free = tracks.filter(({ seen }) => time - seen <= patience);
      const kept: typeof tracks = [];
      const due: Face[] = [];
      for (const face of faces) {
        const [track] = free
          .filter((known) => overlap(known.face, face) >= same)
          .sort((a, b) => overlap(b.face, face) - overlap(a.face, face));
        if (track) free.splice(free.indexOf(track), 1);
        const isDue = !track || time - track.given >= everyMs;
        if (isDue) due.push(face);
        kept.push({ face, seen: time, given: isDue ? time : track.given });
      }
      tracks = [...kept, ...free];
      return due;
    },
  };
}
