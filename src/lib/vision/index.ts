/**
 * Pictures: decoding them, finding faces in them, cutting these out in gray. It finds where faces are, and never whose they are.
 * Knows nothing of cameras or streams.
 */
export {
  type Face,
  type FaceDetector,
  type FaceModelName,
  faceModelNames,
  openFaceDetector,
  overlap,
} from './detector.js';
export {
  cropGray,
  cropRegion,
  drawFaces,
  drawnFaces,
  findFaces,
  foundFacesSchema,
  shrinkGray,
} from './faces.js';
export { type PictureFacts, pictureFacts } from './facts.js';
export { decodePicture, type GrayPicture, grayPng, type Picture, rawPicture } from './picture.js';
