/**
 * Decodes pictures, detects faces in them, and crops the faces in shades of gray. Fits pictures into the size that a model expects. Faces
 * are detected, never identified. This module does not depend on cameras or streams.
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
export { cropPicture, fitPicture } from './fit.js';
export {
  decodePicture,
  encodePng,
  type GrayPicture,
  grayPng,
  type Picture,
  type Region,
  rawPicture,
} from './picture.js';
