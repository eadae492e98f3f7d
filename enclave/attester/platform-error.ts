import { type Code, CodedError, ServiceError } from '@veritee/protocol';

const ERRNO: Record<string, Code> = {
  ENOENT: 'PLATFORM_UNAVAILABLE',
  ENXIO: 'PLATFORM_UNAVAILABLE',
  EACCES: 'PLATFORM_UNAVAILABLE',
  EPERM: 'PLATFORM_UNAVAILABLE',
  EBUSY: 'PLATFORM_BUSY',
  EWOULDBLOCK: 'PLATFORM_BUSY',
  EAGAIN: 'PLATFORM_BUSY',
  ETIMEDOUT: 'PLATFORM_TIMEOUT',
};

/** What a kernel interface threw, as one of our codes; `field` names the interface. */
export function platformError(error: unknown, what: string, field: string): CodedError {
  if (error instanceof CodedError) return error;
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  return new ServiceError(ERRNO[errno] ?? 'PLATFORM_FAILED', `${what}: ${errno}`, { cause: error, field });
}
