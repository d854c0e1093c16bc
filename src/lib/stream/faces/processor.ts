import {
  cropGray,
  cropRegion,
  decodePicture,
  grayPng,
  openFaceDetector,
  type Picture,
  rawPicture,
  shrinkGray,
} from '../../vision/index.js';
import { frameHeaders, rawRgb } from '../camera/message.js';
import type { Header, Message, OutgoingMessage } from '../message.js';
import type { OpenProcessor } from '../route/types.js';
import { readFacesSettings } from './settings.js';
import { createTracks } from './tracks.js';

/**
 * Pictures in, faces out: each face that is found goes on as a gray PNG on the topic `faces`, with its score and its box in headers.
 * Takes what `camera:` and `pictures:` give, raw or compressed, and pictures of any other source.
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
  // One after the other: what was decoded first is not always what came first.
  let before: Promise<unknown> = Promise.resolve();
  return {
    process(message) {
      const picture = pictureOf(message);
      const result = before.then(async () => facesOf(await picture, message));
      before = result.catch(() => {});
      // Its rejection is that of `result`, which may come to it later.
      picture.catch(() => {});
      return result;
    },
    close: async () => detector.close(),
  };
};

async function pictureOf({ headers, payload, topic }: Message): Promise<Picture> {
  const header = (name: string) => String(headers?.find(([key]) => key === name)?.[1] ?? '');
  if (header(frameHeaders.contentType) === rawRgb)
    return rawPicture(Number(header(frameHeaders.width)), Number(header(frameHeaders.height)), payload);
  return decodePicture(payload, `a message of ${topic}`);
}

/** The picture's own headers, save those that say how it is stored. */
function headersOf({ headers = [], topic }: Message, face: { score: string; box: string }): Header[] {
  const stored: string[] = [frameHeaders.contentType, frameHeaders.width, frameHeaders.height];
  return [
    [frameHeaders.contentType, 'image/png'],
    ['camera', topic],
    ['score', face.score],
    // x, y, width, height in pixels of the picture.
    ['box', face.box],
    ...headers.filter(([name]) => !stored.includes(name)),
  ];
}
