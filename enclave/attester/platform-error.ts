import { type Code, CodedError, ServiceError } from '@veritee/protocol';

/**
 * What each errno of configfs-tsm and /dev/nsm comes to. `PLATFORM_BUSY` and `PLATFORM_TIMEOUT` pass by themselves;
 * `PLATFORM_UNAVAILABLE` wants the operator; what is not listed is `PLATFORM_FAILED` under its own name.
 */
export const ERRNO: Readonly<Record<string, readonly [code: Code, reason: string]>> = {
  ENOENT: ['PLATFORM_UNAVAILABLE', 'no such interface: another platform, or its driver is not loaded'],
  ENODEV: ['PLATFORM_UNAVAILABLE', 'no such device'],
  ENOTDIR: ['PLATFORM_UNAVAILABLE', 'no folder of reports'],
  ENXIO: ['PLATFORM_UNAVAILABLE', 'no provider of reports is registered'],
  ENOTTY: ['PLATFORM_UNAVAILABLE', 'not a Nitro Security Module'],
  EACCES: ['PLATFORM_UNAVAILABLE', 'access denied'],
  EPERM: ['PLATFORM_UNAVAILABLE', 'not permitted'],
  EROFS: ['PLATFORM_UNAVAILABLE', 'mounted read-only'],
  EBUSY: ['PLATFORM_BUSY', 'in use'],
  EAGAIN: ['PLATFORM_BUSY', 'somebody else wrote meanwhile'],
  EWOULDBLOCK: ['PLATFORM_BUSY', 'somebody else wrote meanwhile'],
  EINTR: ['PLATFORM_BUSY', 'interrupted'],
  ETIMEDOUT: ['PLATFORM_TIMEOUT', 'throttled for longer than the kernel waits'],
  EIO: ['PLATFORM_FAILED', 'the firmware refused or failed'],
  EINVAL: ['PLATFORM_FAILED', 'the kernel refuses the request'],
  EFBIG: ['PLATFORM_FAILED', 'larger than the kernel takes'],
  EMSGSIZE: ['PLATFORM_FAILED', 'larger than the driver takes'],
  ENOSPC: ['PLATFORM_FAILED', 'no space for a request'],
  ENOMEM: ['PLATFORM_FAILED', 'no memory for a request'],
  EMFILE: ['PLATFORM_FAILED', 'too many open files'],
  EEXIST: ['PLATFORM_FAILED', 'a request of that name exists'],
  EFAULT: ['PLATFORM_FAILED', 'the kernel cannot reach the buffer'],
};

/** What a kernel interface threw, as one of our codes; `field` names the interface or the attribute. */
export function platformError(error: unknown, what: string, field: string): CodedError {
  if (error instanceof CodedError) return error;
  const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  const [code, reason] = ERRNO[errno] ?? ['PLATFORM_FAILED', 'no word on why'];
  return new ServiceError(code, `${what}: ${errno}: ${reason}`, { cause: error, field });
}
