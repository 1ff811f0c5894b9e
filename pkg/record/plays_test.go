package record_test

var plays = []struct{ name, in, out string }{
	{"a session", `
		1 open
		1 req CDS node=web/shop/k1
		1 push CDS n1 a=1
		1 req CDS nonce=n1 v=1
		1 close`, `
		web/k1 1 open
		web/k1 1 request CDS
		web/k1 1 push #1 CDS n1 a=1
		web/k1 1 answer #1 CDS n1
		web/k1 1 close`},
	{"delta: an answer that subscribes", `
		1 open delta
		1 req EDS node=web names=a has=a,b
		1 push EDS n1 a=1 -b
		1 req EDS nonce=n1 names=c un=b
		1 req EDS names=d`, `
		web 1 open
		web 1 request EDS +a has2
		web 1 push #1 EDS n1 a=1 -b
		web 1 answer #1 EDS n1 +c -b
		web 1 request EDS +d`},
	{"an answer before its push", `
		1 open
		1 req CDS node=web
		1 req CDS nonce=n1
		1 req CDS nonce=n1 names=x
		1 req LDS
		1 push CDS n1 a=1
		1 push LDS n2`, `
		web 1 open
		web 1 request CDS
		web 1 request LDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 CDS n1
		web 1 request CDS n1 +x
		web 1 push #2 LDS n2`},
	{"an answer whose push never comes", `
		1 open
		1 req CDS node=web
		1 req CDS nonce=lost
		1 req CDS names=a
		1 close`, `
		web 1 open
		web 1 request CDS
		web 1 answer #0 CDS lost
		web 1 request CDS +a
		web 1 close`},
	{"an answer whose push never comes, while time passes", `
		1 open
		1 req CDS node=web
		1 req CDS nonce=lost
		advance 1s
		advance 20s
		1 req CDS names=a`, `
		web 1 open
		web 1 request CDS
		web 1 answer #0 CDS lost
		web 1 request CDS +a`},
	{"an answer whose push was lost, before one whose push is there", `
		1 open
		1 req CDS node=web
		1 gap queue full
		1 req CDS nonce=lost
		1 push CDS n2 a=1
		1 req CDS nonce=n2
		1 req CDS nonce=lost2
		1 req CDS nonce=n3
		1 push CDS n3 a=2`, `
		web 1 open
		web 1 request CDS
		web 1 gap queue full
		web 1 push #1 CDS n2 a=1
		web 1 answer #0 CDS lost
		web 1 answer #1 CDS n2
		web 1 push #2 CDS n3 a=2
		web 1 answer #0 CDS lost2
		web 1 answer #2 CDS n3`},
	{"nonces are scoped by stream and type", `
		1 open
		1 req CDS node=web
		1 req LDS
		1 push CDS 1 a=1
		1 push LDS 1 b=1
		1 req LDS nonce=1 err=bad
		1 req CDS nonce=1
		2 open
		2 req CDS node=web
		2 push CDS 1 a=2
		2 req CDS nonce=1`, `
		web 1 open
		web 1 request CDS
		web 1 request LDS
		web 1 push #1 CDS 1 a=1
		web 1 push #2 LDS 1 b=1
		web 1 answer #2 NACK LDS 1
		web 1 answer #1 CDS 1
		web 2 open
		web 2 request CDS
		web 2 push #3 CDS 1 a=2
		web 2 answer #3 CDS 1`},
	{"an answered nonce: subscription, or a late NACK", `
		1 open
		1 req EDS node=web names=a
		1 push EDS n1 a=1
		1 req EDS nonce=n1 names=a
		1 req EDS nonce=n1 names=a,b
		1 req EDS nonce=n1 names=a,b err=late`, `
		web 1 open
		web 1 request EDS +a
		web 1 push #1 EDS n1 a=1
		web 1 answer #1 EDS n1 +a
		web 1 request EDS n1 +a +b
		web 1 answer #1 NACK EDS n1 +a +b`},
	{"a stale nonce", `
		1 open
		1 req EDS node=web names=a
		1 push EDS n1 a=1
		1 req EDS nonce=n1 names=a
		1 push EDS n2 a=2
		1 req EDS nonce=n1 names=a,b
		1 req EDS nonce=n2 names=a,b`, `
		web 1 open
		web 1 request EDS +a
		web 1 push #1 EDS n1 a=1
		web 1 answer #1 EDS n1 +a
		web 1 push #2 EDS n2 a=2
		web 1 request EDS n1 +a +b
		web 1 answer #2 EDS n2 +a +b`},
	{"a nonce from an earlier stream", `
		1 open
		1 req CDS node=web nonce=old
		1 push CDS n1 a=1
		1 req CDS nonce=n1`, `
		web 1 open
		web 1 request CDS old
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 CDS n1`},
	{"a nonce reused by the server", `
		1 open
		1 req CDS node=web
		1 push CDS n a=1
		1 req CDS nonce=n
		1 push CDS n a=2
		1 push CDS n a=3
		1 req CDS nonce=n
		1 req CDS nonce=n`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n a=1
		web 1 answer #1 CDS n
		web 1 push #2 CDS n a=2
		web 1 push #3 CDS n a=3
		web 1 answer #2 CDS n
		web 1 answer #3 CDS n`},
	{"reconnect in the middle of a push", `
		1 open delta
		1 req CDS node=web
		1 push CDS n1 a=1
		1 close
		2 open delta
		2 req CDS node=web has=a
		2 push CDS n1 a=1
		2 req CDS nonce=n1`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 close
		web 2 open
		web 2 request CDS has1
		web 2 push #2 CDS n1 a=1
		web 2 answer #2 CDS n1`},
	{"a node without an id", `
		1 open
		1 req CDS node=/shop/k1
		2 open
		2 req CDS node=`, `
		(no node id)/k1 1 open
		(no node id)/k1 1 request CDS
		? 2 open
		? 2 request CDS`},
	{"two nodes on one stream", `
		1 open
		1 req CDS node=web
		1 req LDS node=db
		1 req EDS node=db
		1 push CDS n1 a=1`, `
		web 1 open
		web 1 request CDS
		web 1 gap a second node, db, on a stream of web, which keeps it
		web 1 request LDS
		web 1 request EDS
		web 1 push #1 CDS n1 a=1`},
	{"a node after the first request", `
		1 open
		1 req CDS
		1 push CDS n1 a=1
		2 open
		2 req CDS node=db
		1 req CDS nonce=n1 node=web`, `
		db 2 open
		db 2 request CDS
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 CDS n1`},
	{"a stream that never has a node", `
		1 open
		1 req CDS
		1 push CDS n1 a=1
		1 close`, `
		? 1 open
		? 1 request CDS
		? 1 push #1 CDS n1 a=1
		? 1 close`},
	{"two sidecars with one name", `
		1 open
		1 req CDS node=web/shop/k1
		2 open
		2 req CDS node=web/shop/k2
		1 push CDS n1 a=1
		2 push CDS n1 a=1`, `
		web/k1 1 open
		web/k1 1 request CDS
		web/k2 2 open
		web/k2 2 request CDS
		web/k1 1 push #1 CDS n1 a=1
		web/k2 2 push #1 CDS n1 a=1`},
	{"names: of the wrapper, else of the resource, else none", `
		1 open delta
		1 req CDS node=web
		1 push CDS n1 outer:inner=1 :inner=2
		1 push NDS n2 =table`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 outer=1 inner=2
		web 1 push #2 NDS n2 (no name)=table`},
	{"one name twice", `
		1 open
		1 req LDS node=web
		1 push LDS n1 a=1 a=2`, `
		web 1 open
		web 1 request LDS
		web 1 push #1 LDS n1 a=1 a=2`},
	{"heartbeats", `
		1 open
		1 req EDS node=web
		1 push EDS n1 a=(heartbeat)
		2 open delta
		2 req EDS node=web
		2 push EDS n1 a=(heartbeat)`, `
		web 1 open
		web 1 request EDS
		web 1 push #1 EDS n1 a=(heartbeat)
		web 2 open
		web 2 request EDS
		web 2 push #2 EDS n1 a=(heartbeat)`},
	{"a first LDS push of 0 resources", `
		1 open
		1 req LDS node=web
		1 push LDS n1
		1 req LDS nonce=n1`, `
		web 1 open
		web 1 request LDS
		web 1 push #1 LDS n1
		web 1 answer #1 LDS n1`},
	{"equal stream numbers, closed in between", `
		1 open
		1 req CDS node=web
		1 close
		1 open
		1 req CDS node=db
		2 open
		2 req CDS node=web`, `
		web 1 open
		web 1 request CDS
		web 1 close
		db 2 open
		db 2 request CDS
		web 3 open
		web 3 request CDS`},
	{"equal stream numbers, still open", `
		1 open
		1 req CDS node=web
		1 open
		1 req CDS node=db`, `
		web 1 open
		web 1 request CDS
		web 1 gap stream 1 was opened again without having been closed
		web 1 close
		db 2 open
		db 2 request CDS`},
	{"a clock that jumps", `
		1 open
		1 req CDS node=web
		1 push CDS n1 a=1
		clock -1h
		1 req CDS nonce=n1 err=bad
		1 push CDS n2 a=1
		clock 2h
		1 req CDS nonce=n2 err=bad
		clock -3h
		advance 1ms`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 NACK CDS n1
		web 1 answer #1 NACK x1 CDS n2`},
	{"what cannot be decoded is a gap", `
		1 open
		1 req CDS node=web
		1 junk req
		1 junk push
		1 push CDS n1 a=1`, `
		web 1 open
		web 1 request CDS
		web 1 gap request not decodable: reading field 1: unexpected EOF
		web 1 gap response not decodable: reading field 1: unexpected EOF
		web 1 push #1 CDS n1 a=1`},
	{"other methods: begin and end only", `
		1 open /envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats
		1 junk req
		1 junk push
		1 close
		2 open /envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck
		2 junk req`, `
		? 1 open
		? 1 close
		? 2 open`},
	{"a stream whose start was not seen", `
		1 req CDS node=web
		1 push CDS n1 a=1
		1 req CDS nonce=n1`, `
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 CDS n1`},
	{"a storm", `
		1 open
		1 req CDS node=web
		1 push CDS n1 v=1 a=1 b=1
		1 req CDS nonce=n1 err=bad
		1 push CDS n2 v=1 b=1 a=1
		1 req CDS nonce=n2 err=bad
		1 push CDS n3 v=1 a=1 b=1
		1 req CDS nonce=n3 err=bad
		1 push CDS n4 v=1 a=1 b=1
		1 req CDS nonce=n4
		1 push CDS n5 v=1 a=1 b=1`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1 b=1
		web 1 answer #1 NACK CDS n1
		web 1 answer #1 NACK x2 CDS n3
		web 1 push #2 CDS n4 a=1 b=1
		web 1 answer #2 CDS n4
		web 1 push #3 CDS n5 a=1 b=1`},
	{"a storm is counted every second, and to the end", `
		1 open
		1 req CDS node=web
		1 push CDS n1 a=1
		1 req CDS nonce=n1 err=bad
		1 push CDS n2 a=1
		1 req CDS nonce=n2 err=bad
		advance 100ms
		advance 1s
		1 push CDS n3 a=1
		1 req CDS nonce=n3 err=bad
		1 push CDS n4 a=1
		1 close`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 NACK CDS n1
		web 1 answer #1 NACK x1 CDS n2
		web 1 answer #1 NACK x1 CDS n3
		web 1 push #2 CDS n4 a=1
		web 1 close`},
	{"a storm ends with another push, another answer, another error", `
		1 open
		1 req CDS node=web
		1 push CDS n1 a=1
		1 req CDS nonce=n1 err=bad
		1 push CDS n2 a=2
		1 req CDS nonce=n2 err=bad
		1 push CDS n3 a=2
		1 req CDS nonce=n3 err=worse
		1 push CDS n4 a=2
		1 req CDS nonce=n4 err=worse names=x
		1 push CDS n5 a=2 b=1
		1 push CDS n6 a=2
		1 req CDS nonce=n5 err=worse
		1 req CDS nonce=n6 err=worse`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 NACK CDS n1
		web 1 push #2 CDS n2 a=2
		web 1 answer #2 NACK CDS n2
		web 1 push #3 CDS n3 a=2
		web 1 answer #3 NACK CDS n3
		web 1 push #4 CDS n4 a=2
		web 1 answer #4 NACK CDS n4 +x
		web 1 push #5 CDS n5 a=2 b=1
		web 1 push #6 CDS n6 a=2
		web 1 answer #5 NACK CDS n5
		web 1 answer #6 NACK CDS n6`},
	{"a storm seen out of order: answers before pushes, pushes in a row", `
		1 open
		1 req CDS node=web
		1 push CDS n1 a=1
		1 req CDS nonce=n1 err=bad
		1 req CDS nonce=n2 err=bad
		1 push CDS n2 a=1
		1 push CDS n3 a=1
		1 push CDS n4 a=1
		1 req CDS nonce=n3 err=bad
		1 req CDS nonce=n4 err=bad
		end`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 NACK CDS n1
		web 1 answer #1 NACK x3 CDS n4`},
	{"a held push is written when its answer takes long", `
		1 open
		1 req CDS node=web
		1 push CDS n1 a=1
		1 req CDS nonce=n1 err=bad
		1 push CDS n2 a=1
		advance 2s
		1 req CDS nonce=n2 err=bad`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 answer #1 NACK CDS n1
		web 1 push #2 CDS n2 a=1
		web 1 answer #2 NACK CDS n2`},
	{"the log fails", `
		1 open
		1 req CDS node=web
		fail
		1 push CDS n1 a=1
		1 req CDS nonce=n1
		heal
		1 push CDS n2 a=1 b=1
		1 req CDS nonce=n2`, `
		web 1 open
		web 1 request CDS
		? 0 gap writing failed: no space left (2 lost)
		web 1 push #2 CDS n2 a=1 b=1
		web 1 answer #2 CDS n2`},
	{"the log fails, and no one speaks any more", `
		1 open
		1 req CDS node=web
		fail
		1 push CDS n1 a=1
		advance 1s
		heal
		advance 1s`, `
		web 1 open
		web 1 request CDS
		? 0 gap writing failed: no space left (1 lost)`},
	{"the log fails until shortly before the end", `
		1 open
		1 req CDS node=web
		fail
		1 push CDS n1 a=1
		heal
		end`, `
		web 1 open
		web 1 request CDS
		? 0 gap writing failed: no space left (1 lost)`},
	{"a gap of the observer", `
		1 open
		1 req CDS node=web
		1 gap queue full
		2 gap queue full`, `
		web 1 open
		web 1 request CDS
		web 1 gap queue full`},
	{"a push without a nonce", `
		1 open
		1 req CDS node=web
		1 push CDS - v=7 a=1
		1 req CDS names=a
		1 req CDS v=7
		1 req CDS v=7 names=a
		1 push CDS - v=8 a=2
		1 req CDS v=7 err=bad`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS  a=1
		web 1 request CDS +a
		web 1 answer #1 CDS
		web 1 request CDS +a
		web 1 push #2 CDS  a=2
		web 1 answer #2 NACK CDS`},
	{"a server with one nonce, answers seen before pushes", `
		1 open
		1 req CDS node=web
		1 push CDS n v=1 a=1
		1 req CDS v=1 nonce=n
		1 req CDS v=2 nonce=n
		1 push CDS n v=2 a=2
		1 req CDS v=2 nonce=n err=bad
		1 req CDS v=2 nonce=n names=x
		1 push CDS n v=3 a=3
		1 req CDS v=2 nonce=n names=x,y`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n a=1
		web 1 answer #1 CDS n
		web 1 push #2 CDS n a=2
		web 1 answer #2 CDS n
		web 1 push #3 CDS n a=3
		web 1 answer #3 NACK CDS n
		web 1 request CDS n +x
		web 1 request CDS n +x +y`},
	{"delta: a server with one nonce, answers seen before pushes", `
		1 open delta
		1 req EDS node=web names=a
		1 push EDS n a=1
		1 req EDS nonce=n
		1 req EDS nonce=n
		1 push EDS n a=2
		1 req EDS nonce=n names=b`, `
		web 1 open
		web 1 request EDS +a
		web 1 push #1 EDS n a=1
		web 1 answer #1 EDS n
		web 1 push #2 EDS n a=2
		web 1 answer #2 EDS n
		web 1 request EDS n +b`},
	{"a subscription after a NACK brings the version before", `
		1 open
		1 req EDS node=web names=a
		1 push EDS n1 v=1 a=1
		1 req EDS v=1 nonce=n1 names=a
		1 push EDS n2 v=2 a=2
		1 req EDS v=1 nonce=n2 names=a err=bad
		1 req EDS v=1 nonce=n2 names=a,b`, `
		web 1 open
		web 1 request EDS +a
		web 1 push #1 EDS n1 a=1
		web 1 answer #1 EDS n1 +a
		web 1 push #2 EDS n2 a=2
		web 1 answer #2 NACK EDS n2 +a
		web 1 request EDS n2 +a +b`},
	{"what comes behind the end of a stream opens none", `
		1 open
		1 req CDS node=web
		1 push CDS n1 a=1
		1 close
		1 gap queue full
		1 push CDS n2 a=2
		1 close
		2 open
		2 req CDS node=web`, `
		web 1 open
		web 1 request CDS
		web 1 push #1 CDS n1 a=1
		web 1 close
		web 1 gap queue full
		web 1 gap a response behind the end of its stream
		web 2 open
		web 2 request CDS`},
}
