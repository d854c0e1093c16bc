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
export { cropPicture, fitPicture, fitRegion } from './fit.js';
export { cellAt, cellSide, centerOf, gridOf, touches } from './grid.js';
export {
  decodePicture,
  encodePng,
  type GrayPicture,
  grayPng,
  type Picture,
  type Region,
  rawPicture,
} from './picture.js';
