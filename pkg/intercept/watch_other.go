//go:build !linux

package intercept

// pollFIN: other systems tell of it as POLLHUP, which is always asked for.
const pollFIN = 0
