/* fsync and fdatasync that take longer, or do nothing: preloaded into a program that is measured.
 *
 * BENCH_FSYNC=off   returns at once, nothing is synced: what the work costs without durability
 * BENCH_FSYNC=4     syncs, then waits so many milliseconds more: a disk of a plant
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int (*sync_function)(int);

static int slowly(const char *name, int descriptor) {
  const char *how = getenv("BENCH_FSYNC");
  if (how && strcmp(how, "off") == 0) return 0;
  sync_function real = (sync_function)dlsym(RTLD_NEXT, name);
  int result = real(descriptor);
  if (how) {
    long us = (long)(atof(how) * 1000.0);
    struct timespec pause = {us / 1000000, (us % 1000000) * 1000};
    nanosleep(&pause, NULL);
  }
  return result;
}

int fsync(int descriptor) { return slowly("fsync", descriptor); }
int fdatasync(int descriptor) { return slowly("fdatasync", descriptor); }
