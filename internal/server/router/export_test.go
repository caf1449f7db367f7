package router

import "net/http"

// RoomForForm is what stands before the Prometheus API.
func RoomForForm(o Options, next http.Handler) http.Handler { return o.roomForForm(next) }
