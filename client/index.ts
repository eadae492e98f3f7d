export * from './client.ts';
export { ClientError } from './errors.ts';
export type { CallOptions, Fetch } from './service.ts';
