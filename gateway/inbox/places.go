package inbox

import "karaula/gateway/stock"

// Places gives the sequences of the IN stream that hold the ledger.
func (b *Inbox) Places() stock.Places {
	b.mu.Lock()
	defer b.mu.Unlock()
	lists := make([][]uint64, 0, len(b.streamSeqs))
	for _, epoch := range b.streamSeqs {
		lists = append(lists, epoch)
	}
	return stock.PlacesOf(lists...)
}
