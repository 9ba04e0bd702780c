#!/bin/bash
# PID 1 of the guest: the kernel's own NFS server, and two clients in network namespaces.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t devtmpfs dev /dev 2>/dev/null
exec >/dev/ttyS0 2>&1
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sys /sys 2>/dev/null
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -o remount,rw /
ip link set lo up
hostname server
modprobe -a nfsd nfs nfsv4 veth bridge loop

mkdir -p /srv/export /run/rpc_pipefs /var/lib/nfs/rpc_pipefs
truncate -s 256M /run/export.img
mkfs.ext4 -q -F /run/export.img
mount -o loop /run/export.img /srv/export
chmod 777 /srv/export
mount -t nfsd nfsd /proc/fs/nfsd
mount -t rpc_pipefs sunrpc /var/lib/nfs/rpc_pipefs
echo '/srv/export *(rw,fsid=0,no_root_squash,no_subtree_check,async,insecure)' >/etc/exports
ip link add br0 type bridge
ip addr add 10.9.0.1/24 dev br0
ip link set br0 up
rpcbind -w
echo 10 >/proc/fs/nfsd/nfsv4leasetime
echo 10 >/proc/fs/nfsd/nfsv4gracetime
exportfs -ra
rpc.mountd --no-nfs-version 3
rpc.nfsd -N 3 -V 4.1 8

for number in 1 2; do
    ip netns add "c$number"
    ip link add "v$number" type veth peer name eth0 netns "c$number"
    ip link set "v$number" master br0 up
    ip -n "c$number" addr add "10.9.0.1$number/24" dev eth0
    ip -n "c$number" link set eth0 up
    ip -n "c$number" link set lo up
    # An identifier of its own makes it another client, though it is the same kernel.
    cat >"/run/c$number.sh" <<S
hostname client$number
mount --make-rprivate /
umount -l /sys
mount -t sysfs sys /sys
echo posewatch-client-$number >/sys/fs/nfs/net/nfs_client/identifier
mkdir -p /mnt/nfs
mount -t nfs4 -o vers=4.1,hard 10.9.0.1:/ /mnt/nfs || echo "the mount failed"
exec "\$@"
S
done
run() {
    local number=$1
    shift
    ip netns exec "c$number" unshare -u -m bash "/run/c$number.sh" "$@"
}
export PYTHONPATH=/opt/posewatch
for number in 1 2; do
    run "$number" python3 /opt/trial/client.py "/run/c$number.sock" &
done
python3 /opt/trial/trial.py /run/c1.sock /run/c2.sock

mkdir /srv/export/work
for number in $(seq 0 59); do echo "video $number" >"/srv/export/work/v$number.mp4"; done
for name in 1-dies 1-stops 2-stops 2-lives; do
    run "${name%%-*}" python3 /opt/trial/toy_worker.py /mnt/nfs/work "$name" &
    workers+=($!)
done
for _ in $(seq 7); do
    sleep 11
    pkill -CONT -f toy_worker.py
done &
wait "${workers[@]}"
python3 /opt/trial/toy_worker.py /srv/export/work verdict
echo "END OF THE TRIAL"
sync
echo o >/proc/sysrq-trigger
sleep 10
