package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager"
	"github.com/aws/aws-sdk-go-v2/service/mailmanager/types"
)

// uploadURL makes a list and a job, and returns where the job's file is put.
func uploadURL(t *testing.T, s *server) *url.URL {
	t.Helper()
	list, err := apiOf(s).CreateAddressList(t.Context(), &mailmanager.CreateAddressListInput{AddressListName: aws.String("list")})
	if err != nil {
		t.Fatal(err)
	}
	job, err := apiOf(s).CreateAddressListImportJob(t.Context(), &mailmanager.CreateAddressListImportJobInput{
		AddressListId: list.AddressListId, Name: aws.String("job"),
		ImportDataFormat: &types.ImportDataFormat{ImportDataType: types.ImportDataTypeCsv},
	})
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(*job.PreSignedUrl)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// announce begins to put a file of a size that it only announces, and returns the status of the answer.
func announce(t *testing.T, target *url.URL, octets int64) int {
	t.Helper()
	conn, err := net.Dial("tcp", target.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", target.RequestURI(), target.Host, octets)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// TestUploadsAreBounded: a file has 50 MiB at most (Mail Manager, F13). One that is larger is refused before any of it is sent.
func TestUploadsAreBounded(t *testing.T) {
	t.Parallel()
	s, stop := started(t, testConfig(t))
	target := uploadURL(t, s)
	const most = 52_428_800
	for _, test := range []struct {
		octets int64
		status int
	}{
		{most, http.StatusBadRequest}, // for it does not come
		{most + 1, http.StatusRequestEntityTooLarge},
		{1 << 50, http.StatusRequestEntityTooLarge},
	} {
		if status := announce(t, target, test.octets); status != test.status {
			t.Errorf("%d octets: got %d, want %d", test.octets, status, test.status)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
