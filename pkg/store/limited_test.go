package store

func playLimited() {}
