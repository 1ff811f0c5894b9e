package intercept

import "golang.org/x/sys/unix"

// pollFIN asks for the end of what the peer sends.
const pollFIN = unix.POLLRDHUP
