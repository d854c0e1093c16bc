/**
 * Pictures: decoding them, finding faces in them, cutting these out in gray. It finds where faces are, and never whose they are.
 * Knows nothing of cameras or streams.
 */

export type { Face, Point } from './boxes.js';
export { overlap } from './boxes.js';
export { cropGray, cropRegion, shrinkGray } from './crop.js';
export { type DetectorOptions, type FaceDetector, openFaceDetector } from './detector.js';
export { drawFaces, drawnFaces } from './draw-faces.js';
export * from './facts/index.js';
export { type FaceOptions, findFaces, foundFacesSchema } from './find.js';
export { type FaceModelName, faceModelNames } from './models.js';
export { decodePicture, type GrayPicture, type Picture, rawPicture } from './picture.js';
export { grayPng } from './png.js';
