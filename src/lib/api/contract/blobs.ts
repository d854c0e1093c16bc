import * as z from 'zod';
import { blobSchema } from '../api.js';
import { endpoint } from './endpoint.js';

/** Maximum size of a blob, bytes. */
export const largestBlob = 1024 ** 3;

export const blobs = {
  /** The body is the content itself, `application/octet-stream`. */
  put: endpoint('PUT /blobs/:digest', {
    reach: 'shared',
    summary: 'Upload a blob',
    access: 'ci',
    result: blobSchema,
    location: ({ digest }) => ['blobs', digest],
    largestBody: largestBlob,
    errors: ['AIOT_DIGEST_MISMATCH', 'AIOT_DISK_FULL'],
  }),
  head: endpoint('HEAD /blobs/:digest', {
    reach: 'shared',
    summary: 'Size and ETag of a blob',
    access: 'devices',
    statuses: [304],
  }),
  get: endpoint('GET /blobs/:digest', {
    reach: 'shared',
    summary: 'Download a blob, or a byte range of it',
    access: 'devices',
    statuses: [304, 416],
    errors: ['AIOT_BLOB_DAMAGED'],
  }),
};

const params = z.object({ id: z.string().max(60) });

/** Upload responses have no body, because the result is in headers. */
const result = z.null();

/** Resumable uploads, by the tus protocol 1.0.0. */
export const uploads = {
  begin: endpoint('POST /uploads', {
    reach: 'shared',
    summary: 'Start a resumable upload (tus 1.0.0)',
    description: 'Upload-Metadata contains the digest of the blob in base64: `digest c2hhMjU2Oi4uLg==`.',
    access: 'ci',
    result,
    location: 'header',
    largestBody: largestBlob,
    errors: ['AIOT_UPLOAD_VERSION', 'AIOT_CHECKSUM_MISMATCH', 'AIOT_DIGEST_MISMATCH', 'AIOT_DISK_FULL'],
  }),
  progress: endpoint('HEAD /uploads/:id', {
    reach: 'shared',
    summary: 'Progress of an upload',
    access: 'ci',
    params,
    result,
    errors: ['AIOT_UPLOAD_VERSION'],
  }),
  append: endpoint('PATCH /uploads/:id', {
    reach: 'shared',
    summary: 'Continue an upload',
    description: 'The last byte completes the blob with its digest.',
    access: 'ci',
    params,
    result,
    status: 204,
    largestBody: largestBlob,
    errors: [
      'AIOT_UPLOAD_VERSION',
      'AIOT_UPLOAD_OFFSET',
      'AIOT_CHECKSUM_MISMATCH',
      'AIOT_DIGEST_MISMATCH',
      'AIOT_DISK_FULL',
    ],
  }),
  remove: endpoint('DELETE /uploads/:id', {
    reach: 'shared',
    summary: 'Cancel an upload',
    access: 'ci',
    params,
    result,
    status: 204,
    errors: ['AIOT_UPLOAD_VERSION'],
  }),
};
